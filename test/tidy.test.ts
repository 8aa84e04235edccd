/**
 * The house rules, proven on the source tree: who may import whom, where each power of the platform lives, and that codes, limits
 * and documents keep up with the code.
 *
 * Every exception stands in a list of this file, with its reason. A list must not hold what is not needed any more.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { errorCodes, SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { codesOf } from './support/error-page.js'
import { cyclesOf, filesBelow, nodesOf, parseSource, repository, sourcesOf, type Import, type Source } from './support/source-tree.js'

const product = sourcesOf('index.ts', 'engine', 'wal', 'query', 'bindings')
const bench = sourcesOf('bench')
const tests = sourcesOf('test')
const everything = [...product, ...bench, ...tests]

const linesMax = 1_000

// ── who imports whom ──────────────────────────────────────────────────────────────────────────────────────────

/** Inside the engine each may import itself and what stands to its left. Files directly in `engine/` come last. */
const engineOrder = ['base', 'shared', 'schema', 'store', 'txn', 'partition', 'sequencer', 'stream', 'offline', 'worker', ''] as const
/** Floors of the engine that hand bytes to the log. */
const usersOfLog = ['sequencer', 'stream', 'offline', 'worker', '']
const doors: Readonly<Record<string, readonly string[]>> = {
  'index.ts': ['bindings/index.ts'],
  bindings: ['engine/index.ts', 'query/index.ts'],
  query: ['engine/index.ts'],
  engine: ['wal/index.ts'],
  wal: [],
}

interface ImportException {
  readonly from: RegExp
  readonly to: string
  readonly isTypeOnly: boolean
  readonly why: string
}
const importExceptions: readonly ImportException[] = [
  {
    from: /^bindings\//,
    to: 'engine/schema/descriptor.ts',
    isTypeOnly: true,
    why: 'definitions are lowered to descriptors, and the declarations that users compile against must not reach the engine, which needs the types of Node',
  },
  {
    from: /^bindings\//,
    to: 'query/logical-plan.ts',
    isTypeOnly: true,
    why: 'a query shows its plan, in declarations that must not reach the engine either',
  },
]

const folderOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : path)
const floorOf = (path: string): string => {
  const parts = path.split('/')
  return parts.length > 2 ? parts[1]! : ''
}

/** Why a file must not import another one, or undefined when it may. */
function whyNot(from: string, to: string): string | undefined {
  const [here, there] = [folderOf(from), folderOf(to)]
  if (here === 'engine' && there === 'engine') {
    const [own, other] = [floorOf(from), floorOf(to)].map((floor) => engineOrder.indexOf(floor as 'base'))
    if (own! < 0 || other! < 0) return 'is in a folder of the engine that has no place in the order'
    return other! <= own! ? undefined : `stands above it: ${engineOrder.join(' < ')}`
  }
  if (here === there) return undefined
  if (to.startsWith('engine/base/')) return undefined
  if (doors[here] === undefined || !doors[here].includes(to)) {
    return doors[here]?.some((door) => folderOf(door) === there) ? 'is behind the door of its folder: import the index.ts' : 'is on a floor that it must not see'
  }
  if (here === 'engine' && !usersOfLog.includes(floorOf(from))) return `is the log, which only ${usersOfLog.join(', ')} may see`
  return undefined
}

const exceptionFor = (from: string, one: Import): ImportException | undefined =>
  importExceptions.find((it) => it.from.test(from) && it.to === one.to && (one.isTypeOnly || !it.isTypeOnly))

/** Modules from outside, and where they may be imported. */
const outsiders: Readonly<Record<string, readonly RegExp[]>> = {
  'node:worker_threads': [/^engine\/worker\//],
  piscina: [/^engine\/worker\//],
  'node:module': [/^engine\/worker\/load-program\.ts$/, /^wal\/lmdb\.ts$/],
  'node:fs': [/^wal\/storage-file\.ts$/],
  lmdb: [/^wal\/lmdb\.ts$/, /^wal\/directory-lock\.ts$/, /^wal\/checkpoint-lmdb\.ts$/],
  flatbuffers: [/^wal\//],
  'node:os': [/^engine\/base\/environment-node\.ts$/],
  'node:crypto': [/^engine\/base\/environment-node\.ts$/, /^engine\/txn\/realm\.ts$/],
  'node:util': [/^bindings\/cli\//],
  // These compute and have no powers.
  'node:path': [/./],
  'node:url': [/./],
  'node:zlib': [/./],
  'node:util/types': [/./],
}

describe('imports', () => {
  test('go down the floors, and across folders through index.ts', () => {
    const wrong: string[] = []
    const used = new Set<ImportException>()
    for (const { path, imports } of product) {
      for (const one of imports) {
        if (!one.isOurs) continue
        const why = whyNot(path, one.to)
        if (why === undefined) continue
        const exception = exceptionFor(path, one)
        if (exception === undefined) wrong.push(`${path}:${one.line} imports ${one.to}, which ${why}`)
        else used.add(exception)
      }
    }
    expect(wrong).toEqual([])
    expect(importExceptions.filter((one) => !used.has(one)), 'exceptions that nobody needs any more').toEqual([])
  })

  test('from outside are known, each in its place', () => {
    const wrong: string[] = []
    for (const { path, imports } of product) {
      for (const { to, isOurs, line } of imports) {
        if (!isOurs && outsiders[to]?.some((place) => place.test(path)) !== true) wrong.push(`${path}:${line} imports ${to}`)
      }
    }
    expect(wrong).toEqual([])
    const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { dependencies: object }
    const imported = new Set(product.flatMap((source) => source.imports.flatMap((one) => (one.isOurs ? [] : [one.to]))))
    expect(Object.keys(dependencies).filter((name) => !imported.has(name)), 'dependencies that nobody imports').toEqual([])
  })

  test('never go in a circle, types included', () => {
    expect(cyclesOf(everything)).toEqual([])
  })

  test('find what they name, and the product never imports its workshop', () => {
    const wrong = everything.flatMap(({ path, imports }) =>
      imports
        .filter((one) => one.isOurs && !existsSync(join(repository, one.to)) && !one.to.startsWith('dist/') && !path.startsWith('test/types/fixtures/'))
        .map((one) => `${path}:${one.line} imports ${one.to}, which is not there`),
    )
    expect(wrong).toEqual([])
    const workshop = product.flatMap(({ path, imports }) => imports.filter((one) => /^(bench|test|examples)\//.test(one.to)).map((one) => `${path} → ${one.to}`))
    expect(workshop).toEqual([])
  })

  test('meet index.ts files that list their exports by name', () => {
    expect(everything.flatMap(({ path, starExports }) => starExports.map((line) => `${path}:${line}`))).toEqual([])
  })
})

/** These tests pass on a tidy tree: would they say something about another one? */
test('the rules see what they forbid', () => {
  expect(whyNot('engine/store/store.ts', 'engine/txn/journal.ts')).toMatch(/stands above/)
  expect(whyNot('engine/store/store.ts', 'wal/index.ts')).toMatch(/only .* may see/)
  expect(whyNot('engine/base/hash.ts', 'engine/shared/region.ts')).toMatch(/stands above/)
  expect(whyNot('engine/worker/clock.ts', 'engine/database.ts')).toMatch(/stands above/)
  expect(whyNot('bindings/app.ts', 'engine/open.ts')).toMatch(/behind the door/)
  expect(whyNot('query/index.ts', 'wal/index.ts')).toMatch(/must not see/)
  expect(whyNot('wal/body.ts', 'engine/shared/lane-log.ts')).toMatch(/must not see/)
  expect(whyNot('engine/open.ts', 'bindings/app.ts')).toMatch(/must not see/)
  expect(['engine/store/store.ts', 'wal/index.ts'].map((to) => whyNot('engine/open.ts', to))).toEqual([undefined, undefined])

  const bad = parseSource(
    'engine/store/bad.ts',
    `import type { B } from './worse.js'
     export * from './worse.js'
     type Fine = SharedArrayBuffer | Date
     const words = new Int32Array(new SharedArrayBuffer(8)), own = { process: 1 }.process, asked = new Date(5)
     export function look(b: B, f: Fine) { return [Atomics.load(words, 0), Date.now(), new Date(), process.env, setTimeout, new Function(''), import('./later.js')] }`,
  )
  expect(bad.imports.map((one) => [one.to, one.isTypeOnly])).toEqual([['engine/store/worse.ts', true], ['engine/store/worse.ts', false], ['engine/store/later.ts', false]])
  expect(bad.starExports).toEqual([2])
  expect(bad.uses.map((use) => use.name)).toEqual([
    'new SharedArrayBuffer(…)', 'new Date(…)', 'Atomics.load', 'Date.now', 'new Date()', 'process.env', 'setTimeout', 'new Function(…)',
  ])
  expect(powers.map((power) => bad.uses.filter((use) => power.uses.test(use.name)).length)).toEqual([2, 3, 1, 0])
  const worse = parseSource('engine/store/worse.ts', "import type { look } from './bad.js'\nexport type B = typeof look")
  expect(cyclesOf([bad, worse])[0]).toBe('engine/store/bad.ts → engine/store/worse.ts → engine/store/bad.ts')
})

// ── powers in one place ───────────────────────────────────────────────────────────────────────────────────────

interface Power {
  readonly name: string
  readonly uses: RegExp
  readonly home: RegExp
  readonly instead: string
}
const powers: readonly Power[] = [
  {
    name: 'shared memory',
    uses: /^(new )?(Atomics|SharedArrayBuffer)\b/,
    home: /^engine\/shared\//,
    instead: 'the classes of engine/shared',
  },
  {
    name: 'clock, chance and timers',
    uses: /^(Date|Date\.now|new Date\(\)|Math\.random|performance\b.*|crypto\b.*|process\.(hrtime|uptime)|(set|clear)(Timeout|Interval|Immediate)|queueMicrotask|fetch)$/,
    home: /^engine\/base\/environment-node\.ts$/,
    instead: 'Environment',
  },
  { name: 'the process', uses: /^process\b/, home: /^engine\/base\/environment-node\.ts$/, instead: 'Environment' },
  { name: 'the console', uses: /^console\b/, home: /^$/, instead: 'an error, or nothing' },
]
interface PowerException {
  readonly path: string
  readonly use: RegExp
  readonly why: string
}
const powerExceptions: readonly PowerException[] = [
  { path: 'engine/txn/realm.ts', use: /./, why: 'it replaces these globals inside of transactions, so it must hold the real ones' },
  { path: 'engine/worker/app-guard.ts', use: /^process\.argv$/, why: "the guard compares the application with the program's entry" },
  { path: 'engine/worker/worker-main.ts', use: /^process\.(on|emitWarning)$/, why: 'the entry of a thread answers for what procedures leave behind on it' },
  { path: 'bindings/cli/main.ts', use: /^process\.(exitCode|argv|stdout|stderr)$/, why: 'a command is a process: its arguments, its output, its exit code' },
  { path: 'engine/worker/load-program.ts', use: /^process\.features$/, why: 'whether this Node loads TypeScript by itself' },
]

describe('powers', () => {
  test.each(powers)('$name: in one place', ({ uses, home, instead }) => {
    const wrong = product.flatMap(({ path, uses: all }) =>
      all
        .filter((use) => uses.test(use.name) && !home.test(path) && !powerExceptions.some((one) => one.path === path && one.use.test(use.name)))
        .map((use) => `${path}:${use.line} uses ${use.name}: use ${instead}`),
    )
    expect(wrong).toEqual([])
    expect(product.some((source) => source.uses.some((use) => uses.test(use.name) && home.test(source.path))) || home.source === '^$').toBe(true)
  })

  test('have no exceptions that nobody needs any more', () => {
    const isNeeded = ({ path, use }: PowerException): boolean =>
      product.some((source) => source.path === path && source.uses.some(({ name }) => use.test(name) && powers.some((power) => power.uses.test(name))))
    expect(powerExceptions.filter((one) => !isNeeded(one))).toEqual([])
  })

  test('code is generated only in functions that are called compile…', () => {
    const generated = product.flatMap(({ path, uses }) =>
      uses.filter(({ name }) => /^(new )?(Function|eval)\b/.test(name)).map(({ line, inside }) => ({ place: `${path}:${line}`, inside })),
    )
    expect(generated.length).toBeGreaterThan(0)
    expect(generated.filter(({ inside }) => inside === undefined || !/^compile[A-Z]/.test(inside))).toEqual([])
  })
})

// ── codes and limits ──────────────────────────────────────────────────────────────────────────────────────────

/** Codes that this version cannot meet, with what will. docs/errors.md says so under each. */
const codesToCome: Readonly<Record<string, string>> = {
  PROCEDURE_NOT_DETERMINISTIC: 'the test mode that runs each procedure twice',
}
/** Limits that nothing enforces yet, with what will. */
const limitsToCome: Readonly<Record<string, string>> = {
  pushBackAbove: 'design §2: writers are pushed back above 90 % of the memory; today they go on to OUT_OF_SPACE',
}

/** The codes that are named where an error is made. */
function thrownIn(source: Source): readonly string[] {
  const found: string[] = []
  for (const node of nodesOf(source)) {
    const isCall = ts.isCallExpression(node) && /^(SluiceError\.of|outcomeOfCode)$/.test(node.expression.getText())
    const made = isCall ? node.arguments[0] : ts.isVariableDeclaration(node) && node.type?.getText() === 'ErrorCode' ? node.initializer : undefined
    const collect = (inner: ts.Node): void => {
      if (ts.isStringLiteral(inner)) found.push(inner.text)
      ts.forEachChild(inner, collect)
    }
    if (made !== undefined) collect(made)
  }
  return found
}

describe('error codes', () => {
  const thrown = new Set(product.flatMap(thrownIn))
  const page = codesOf(readFileSync(join(repository, 'docs/errors.md'), 'utf8'))

  test('have one heading each in docs/errors.md, in their order, which tells truly whether a retry may help', () => {
    const known = errorCodes.map((code) => ({ code, isRetryable: SluiceError.of(code, '').retryable }))
    const shown = page.map(({ code, isRetryable }) => ({ code, isRetryable }))
    expect(shown).toEqual(known)
  })

  test('are thrown somewhere, or the page says that they are not met yet', () => {
    expect(errorCodes.filter((code) => !thrown.has(code)).sort()).toEqual(Object.keys(codesToCome).sort())
    expect(page.filter((one) => one.isToCome).map(({ code }) => code).sort()).toEqual(Object.keys(codesToCome).sort())
  })

  test('are spelled as in the closed set', () => {
    expect([...thrown].filter((code) => !(errorCodes as readonly string[]).includes(code))).toEqual([])
  })
})

test('every limit is kept by somebody', () => {
  const used = new Set<string>()
  for (const source of product) {
    if (source.path === 'engine/base/limits.ts') continue
    for (const node of nodesOf(source)) {
      if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'limits') used.add(node.name.text)
    }
  }
  expect(Object.keys(limits).filter((name) => !used.has(name)).sort()).toEqual(Object.keys(limitsToCome).sort())
})

// ── the layouts that two floors know ──────────────────────────────────────────────────────────────────────────

test('the structs of a lane log are those of the frame body', async () => {
  // engine/shared and engine/txn may not see wal: both sides write the numbers down, and this compares them.
  const body = await import('../wal/body.js')
  const laneLog = await import('../engine/shared/lane-log.js')
  const { changeKind } = await import('../engine/txn/row-writer.js')
  expect([laneLog.transactionInts, laneLog.changeInts, laneLog.eventInts]).toEqual([body.transactionWords, body.changeWords, body.eventWords])
  expect(changeKind).toEqual(body.changeKind)
})

// ── manners ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Tests that run only under a condition. */
const conditionalTests: Readonly<Record<string, string>> = {
  'test/bench/demo.test.ts': 'needs the build, which `npm test` makes first',
}

describe('manners', () => {
  test('a file is one thought: names are kebab-case, and none is longer than a thousand lines', () => {
    const paths = ['engine', 'wal', 'query', 'bindings', 'bench', 'test'].flatMap(filesBelow)
    expect(paths.filter((path) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.test)?\.ts$/.test(path))).toEqual([])
    expect(everything.filter((source) => source.lines > linesMax).map((source) => source.path)).toEqual([])
  })

  test('nobody says "as any", and the product has no any beside type arguments', () => {
    const wrong: string[] = []
    for (const source of everything) {
      for (const node of nodesOf(source)) {
        if (node.kind !== ts.SyntaxKind.AnyKeyword) continue
        const place = `${source.path}:${source.tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
        if (ts.isAsExpression(node.parent)) wrong.push(`${place} says as any`)
        const isArgument = ts.isTypeReferenceNode(node.parent) || ts.isTypeParameterDeclaration(node.parent)
        if (product.includes(source) && !isArgument) wrong.push(`${place} is of type any`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('no test is left out', () => {
    const found: string[] = []
    for (const source of tests) {
      if (!source.path.endsWith('.test.ts')) continue
      for (const node of nodesOf(source)) {
        if (!ts.isPropertyAccessExpression(node) || !/^(only|skip|todo|fails|skipIf|runIf)$/.test(node.name.text)) continue
        if (/^(test|it|describe|bench|suite)\b/.test(node.expression.getText())) found.push(source.path)
      }
    }
    expect([...new Set(found)]).toEqual(Object.keys(conditionalTests))
  })

  test('nothing is kept alive by a statement that does nothing', () => {
    const wrong = product.flatMap((source) =>
      [...nodesOf(source)]
        .filter((node) => ts.isExpressionStatement(node) && ts.isVoidExpression(node.expression) && ts.isIdentifier(node.expression.expression))
        .map((node) => `${source.path}: ${node.getText()}`),
    )
    expect(wrong).toEqual([])
  })

  test('a TODO names the condition that ends it', () => {
    const wrong = everything.flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, n) => (/\/[/*].*\b(TODO|FIXME|XXX)\b(?!.*\b(when|once|until|after)\b)/.test(line) ? [`${path}:${n + 1}`] : [])),
    )
    expect(wrong).toEqual([])
  })
})
