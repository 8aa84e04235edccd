/**
 * The source tree as the compiler sees it, for tests that prove house rules: who imports whom, who uses which power of the
 * platform, and where. Read from the syntax and not from the text, so that a comment may mention `Atomics` and a property may be
 * called `process`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const repository = fileURLToPath(new URL('../../', import.meta.url))

export interface Import {
  /** A file of the repository (`engine/open.ts`), or a module from outside (`node:fs`). */
  readonly to: string
  readonly isOurs: boolean
  readonly isTypeOnly: boolean
  readonly line: number
}

/** A global that is used as a value: `Atomics`, `process.argv`, `Date.now`, `new Date()`. */
export interface Use {
  readonly name: string
  readonly line: number
  /** The function declaration around it, if any. */
  readonly inside: string | undefined
}

export interface Source {
  readonly path: string
  readonly text: string
  readonly lines: number
  readonly imports: readonly Import[]
  readonly uses: readonly Use[]
  /** Lines with `export *`. */
  readonly starExports: readonly number[]
  readonly tree: ts.SourceFile
}

const watched = new Set([
  'Atomics', 'SharedArrayBuffer', 'Date', 'Math', 'performance', 'process', 'crypto', 'console', 'Function', 'eval', 'fetch',
  'setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate', 'queueMicrotask',
])
/** Folders that hold no sources of ours. */
const foreign = new Set(['node_modules', 'results', 'generated'])

/** The TypeScript files below some folders (or files), read and parsed once. */
export function sourcesOf(...places: readonly string[]): readonly Source[] {
  return places.flatMap(filesBelow).map(sourceOf)
}

export function filesBelow(place: string): readonly string[] {
  if (place.endsWith('.ts')) return [place]
  return readdirSync(join(repository, place), { withFileTypes: true })
    .filter((entry) => !foreign.has(entry.name))
    .flatMap((entry) => {
      const path = `${place}/${entry.name}`
      if (entry.isDirectory()) return filesBelow(path)
      return path.endsWith('.ts') ? [path] : []
    })
    .sort()
}

const known = new Map<string, Source>()

function sourceOf(path: string): Source {
  let source = known.get(path)
  if (source === undefined) {
    source = parseSource(path, readFileSync(join(repository, path), 'utf8'))
    known.set(path, source)
  }
  return source
}

export function parseSource(path: string, text: string): Source {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const [imports, uses, starExports] = [[] as Import[], [] as Use[], [] as number[]]
  const lineOf = (node: ts.Node): number => tree.getLineAndCharacterOfPosition(node.getStart()).line + 1
  const note = (specifier: ts.Node | undefined, isTypeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const isOurs = specifier.text.startsWith('.')
    const to = isOurs ? join(dirname(path), specifier.text).replace(/\.js$/, '.ts') : specifier.text
    imports.push({ to, isOurs, isTypeOnly, line: lineOf(specifier) })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) note(node.moduleSpecifier, isTypeImport(node))
    else if (ts.isExportDeclaration(node)) {
      note(node.moduleSpecifier, node.isTypeOnly)
      if (node.moduleSpecifier !== undefined && node.exportClause === undefined) starExports.push(lineOf(node))
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) note(node.argument.literal, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) note(node.arguments[0], false)
    else if (ts.isIdentifier(node) && watched.has(node.text)) {
      const name = valueUse(node)
      if (name !== undefined) uses.push({ name, line: lineOf(node), inside: functionAround(node) })
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return { path, text, lines: text.split('\n').length, imports, uses, starExports, tree }
}

function isTypeImport(node: ts.ImportDeclaration): boolean {
  const clause = node.importClause
  if (clause === undefined) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const named = clause.namedBindings
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named) && named.elements.every((one) => one.isTypeOnly)
}

/** What is used of a global, when the identifier stands where a value does: with its property, if one is asked for. */
function valueUse(node: ts.Identifier): string | undefined {
  const { parent } = node
  if (ts.isTypeNode(parent) || ts.isQualifiedName(parent) || ts.isHeritageClause(parent.parent)) return undefined
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node ? `${node.text}.${parent.name.text}` : undefined
  const isName = 'name' in parent && parent.name === node
  if (isName || ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent) || ts.isPropertyAssignment(parent) && parent.name === node) {
    return undefined
  }
  if (ts.isNewExpression(parent) && parent.expression === node) return `new ${node.text}(${parent.arguments?.length ? '…' : ''})`
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword) return `instanceof ${node.text}`
  return node.text
}

function functionAround(node: ts.Node): string | undefined {
  for (let up = node.parent; up !== undefined; up = up.parent) {
    if (ts.isFunctionDeclaration(up)) return up.name?.text
    if (ts.isMethodDeclaration(up)) return up.name.getText()
  }
  return undefined
}

/** Every node of a source. */
export function* nodesOf(source: Source): Generator<ts.Node, void, void> {
  const stack: ts.Node[] = [source.tree]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node
    ts.forEachChild(node, (child) => void stack.push(child))
  }
}

/** Groups of files that import each other in a circle, each with the way around. */
export function cyclesOf(sources: readonly Source[]): readonly string[] {
  const bySource = new Map(sources.map((source) => [source.path, source.imports.filter((one) => one.isOurs).map((one) => one.to)]))
  const done = new Set<string>()
  const way: string[] = []
  const cycles: string[] = []
  const walk = (path: string): void => {
    const at = way.indexOf(path)
    if (at >= 0) {
      cycles.push([...way.slice(at), path].join(' → '))
      return
    }
    if (done.has(path)) return
    way.push(path)
    for (const next of bySource.get(path) ?? []) walk(next)
    way.pop()
    done.add(path)
  }
  for (const path of bySource.keys()) walk(path)
  return cycles
}
