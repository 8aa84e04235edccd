/** Debian's flatc and g++, where this machine has them or can get them. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What examples/reader/shop_generated.h was made by, and test/fixtures/flatbuffers belongs to. */
const version = '2.0.8'
const downloadMsMax = 8_000

const isRight = (path: string): boolean => spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout?.trim() === `flatc version ${version}`

/** Unpacked into a folder of the machine's, and not installed; it needs no library but that of C++. */
function downloaded(): string | undefined {
  const folder = join(tmpdir(), `sluice-flatc-${version}`)
  const program = join(folder, 'usr/bin/flatc')
  if (existsSync(program) && isRight(program)) return program
  mkdirSync(folder, { recursive: true })
  const run = (command: string, ...args: string[]): boolean => spawnSync(command, args, { cwd: folder, stdio: 'ignore', timeout: downloadMsMax }).status === 0
  if (!run('apt-get', 'download', 'flatbuffers-compiler')) return undefined
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb'))
  return archive !== undefined && run('dpkg-deb', '-x', archive, '.') ? program : undefined
}

function found(): string | undefined {
  if (isRight('flatc')) return 'flatc'
  const path = downloaded()
  return path !== undefined && isRight(path) ? path : undefined
}

const flatc = found()
const compiler = ['g++', 'clang++', 'c++'].find((name) => spawnSync(name, ['--version']).status === 0)
/** One, or none: tests are made for what is there. */
export const flatcs = flatc === undefined ? [] : [flatc]
export const compilers = compiler === undefined ? [] : [compiler]

const say = (text: string): boolean => process.stderr.write(`${text}\n`)
if (flatc === undefined) say(`no flatc ${version} here, and none to be had: its header is the one in the repository, which the schema of today is compared with`)
if (compiler === undefined) say('no C++ compiler here: the reader in another language is not run, only its schema compared')
