/**
 * The `ts` blocks of docs/api.md, by the file each names in its first line; blocks that name the same file
 * are one file.
 */

export function examplesOf(page: string): ReadonlyMap<string, string> {
  const files = new Map<string, { imports: string; body: string }>()
  for (const [, code = ''] of page.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const name = /^\/\/ ([\w-]+\.ts)/.exec(code)?.[1]
    if (name === undefined) throw new Error(`a block without the name of its file:\n${code.slice(0, 120)}`)
    const file = files.get(name) ?? { imports: '', body: '' }
    for (const line of code.split('\n')) {
      if (line.startsWith('import ')) file.imports += `${line}\n`
      else file.body += `${line}\n`
    }
    files.set(name, file)
  }
  return new Map([...files].map(([name, { imports, body }]) => [name, imports + body]))
}

/** What the examples take from the application's own code. */
export const elsewhere = `
interface Signal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}
export declare const signal: Signal
export declare function fetchNote(owner: string): Promise<string>
export declare function sendMail(to: string, options: { key: string; signal: Signal }): Promise<void>
export declare const psp: {
  charge(order: number, options: { key: string; signal: Signal }): Promise<{ receipt: string }>
}
`
