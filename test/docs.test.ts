/**
 * The documents are true: their programs compile and run against the build and print what the page says, their links lead
 * somewhere, and the files that they and the comments in the code name are there.
 *
 * The `ts` blocks of a page that name the same file in their first line are one file. A page with a `main.ts` is a program; what it
 * prints stands in the `text` block behind it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { userCompilerOptions } from './support/user-compiler-options.js'
import { finish, packageRoot, writeFiles } from './support/child.js'
import { filesBelow } from './support/source-tree.js'
import { compile } from './types/declarations.js'
import { examplesOf } from './types/examples.js'

/** Pages whose examples are compiled elsewhere and cannot run. */
const shownOnly: Readonly<Record<string, string>> = {
  'docs/api.md': 'the whole contract, of which this version has a part; compiled by test/types/contract.test.ts',
}
const pagesMin = 8
const compileMsMax = 90_000

const markdownIn = (folder: string): readonly string[] =>
  readdirSync(join(packageRoot, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => (folder === '.' ? entry.name : `${folder}/${entry.name}`))

const pages = ['.', 'docs', 'docs/decisions', 'bench', 'wal/generated'].flatMap(markdownIn)
const textOf = (page: string): string => readFileSync(join(packageRoot, page), 'utf8')
const withoutCode = (text: string): string => text.replaceAll(/^```.*?^```$/gms, '')

// ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────

const programs = pages.filter((page) => textOf(page).includes('```ts\n') && !(page in shownOnly))
const folderOf = (page: string): string => page.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replace(/-md$/, '')

const compilerOptions = {
  ...userCompilerOptions,
  types: ['node'],
  typeRoots: [join(packageRoot, 'node_modules/@types')],
  // As a stranger: the declarations of the package are checked like any others.
  skipLibCheck: false,
}

describe('the programs of the documents', () => {
  let project: string
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'sluice-docs-'))
    const sources = programs.flatMap((page) => [...examplesOf(textOf(page))].map(([name, text]) => [`${folderOf(page)}/${name}`, text] as const))
    await writeFiles(project, {
      ...Object.fromEntries(sources),
      'package.json': JSON.stringify({ name: 'reader', private: true, type: 'module' }),
      'tsconfig.json': JSON.stringify({ compilerOptions, include: ['*/*.ts'] }),
    })
    await mkdir(join(project, 'node_modules'))
    await symlink(packageRoot.replace(/\/$/, ''), join(project, 'node_modules/sluicedb'))
    expect((await compile(project)).output).toBe('')
  }, compileMsMax)
  afterAll(() => rm(project, { recursive: true, force: true }))

  test('are those of the README and of the errors, at least', () => {
    expect(programs).toEqual(expect.arrayContaining(['README.md', 'docs/errors.md']))
    expect(Object.keys(shownOnly).filter((page) => !pages.includes(page))).toEqual([])
  })

  test.each(programs)('%s runs and prints what it says', async (page) => {
    const said = /^```ts\n\/\/ main\.ts.*?^```\n.*?^```text\n(.*?)^```$/ms.exec(textOf(page))?.[1]
    expect(said, 'a page with code has a main.ts, and behind it what that prints').toBeDefined()
    const cwd = join(project, folderOf(page))
    const { code, text, errors } = await finish(['main.js'], { cwd })
    expect({ code, text: `${text}\n`, errors }).toEqual({ code: 0, text: said, errors: '' })
  })
})

// ── links and names ───────────────────────────────────────────────────────────────────────────────────────────

/** GitHub's rule for headings. */
const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) =>
      heading!.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').trim().replaceAll(' ', '-'),
    ),
  )

/** Files and folders of the repository as documents and comments write them. */
const ours = /(?<![\w./-])(?:engine|wal|query|bindings|bench|test|docs|examples)\/[\w./-]*[\w/]/g
const isThere = (path: string): boolean => ['', '.ts', '.md'].some((end) => existsSync(join(packageRoot, path + end)))

describe('the documents', () => {
  test('are found', () => {
    expect(pages.length).toBeGreaterThan(pagesMin)
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'docs/shared-memory.md']))
  })

  test.each(pages)('%s: every link leads somewhere', (page) => {
    const text = textOf(page)
    const broken: string[] = []
    for (const [, target] of withoutCode(text).matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue
      const [path = '', anchor] = target!.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(packageRoot, file))) broken.push(target!)
      else if (anchor !== undefined && !anchorsOf(textOf(file)).has(anchor)) broken.push(target!)
    }
    expect(broken).toEqual([])
  })

  test.each(pages)('%s: every file that it names is there', (page) => {
    const named = new Set([...withoutCode(textOf(page)).matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => [...code!.matchAll(ours)].map(([path]) => path)))
    expect([...named].filter((path) => !isThere(path) && !path.startsWith('bench/results'))).toEqual([])
  })

  test('every file that a comment in the code names is there', () => {
    const wrong: string[] = []
    for (const file of ['index.ts', 'engine', 'wal', 'query', 'bindings', 'bench', 'test'].flatMap(filesBelow)) {
      if (file.startsWith('test/types/fixtures/')) continue
      const comments = textOf(file).split('\n').filter((line) => /^\s*(\*|\/\*\*|\/\/)/.test(line)).join('\n')
      for (const [path] of comments.matchAll(ours)) if (/\.(ts|md|fbs)$/.test(path) && !isThere(path)) wrong.push(`${file}: ${path}`)
    }
    expect(wrong).toEqual([])
  })
})

describe('the records of decisions', () => {
  const records = markdownIn('docs/decisions')
  const parts = ['Status', 'Context', 'Decision', 'Consequences', 'What we tried and dropped']

  test('are numbered without a gap', () => {
    const numbers = records.map((path) => /^docs\/decisions\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1])
    expect(numbers).toEqual(records.map((_, n) => String(n + 1).padStart(4, '0')))
  })

  test.each(records)('%s has its five parts, and fits on a page', (path) => {
    const text = textOf(path)
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(parts)
    expect(text.split('\n').length).toBeLessThan(80)
  })
})
