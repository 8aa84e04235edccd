/**
 * The parent's handle on the owner: starts it, gives it commands one at a time, kills it, and notices when it
 * misbehaves.
 */
import { fork, type ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Finding } from '../workloads/marketplace/verdict.js'
import { RecordReader, type Command, type OwnerOptions, type RecordListener, type Reply } from './protocol.js'

const ownerScript = new URL('./owner.js', import.meta.url)
const acknowledgementsDescriptor = 3
const answerMsMax = 120_000
const exitMsMax = 10_000
const stderrCharactersMax = 4_000

type ReplyTo<Did extends Reply['did']> = Extract<Reply, { readonly did: Did }>

interface Waiting {
  readonly did: Reply['did']
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export interface OwnerListener extends RecordListener {
  looked(findings: readonly Finding[]): void
  progress(text: string): void
}

export class OwnerProcess {
  readonly #child: ChildProcess
  readonly #reader: RecordReader
  readonly #closed: Promise<void>
  #stderr = ''
  #killed = false
  #waiting: Waiting | undefined
  #failure: Error | undefined

  private constructor(options: OwnerOptions, listener: OwnerListener, script: URL) {
    this.#child = fork(script, [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    })
    this.#reader = new RecordReader(this.#child.stdio[acknowledgementsDescriptor] as Readable, {
      acknowledged: (acknowledgement) => this.#guard(() => listener.acknowledged(acknowledgement)),
      seen: (plan) => this.#guard(() => listener.seen(plan)),
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-stderrCharactersMax)
    })
    this.#child.on('message', (reply: Reply) => this.#hear(reply, listener))
    this.#child.on('error', (error) => this.#fail(error))
    // 'close' and not 'exit': only then has everything in the pipes been read.
    this.#closed = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        if (!this.#killed && code !== 0)
          this.#fail(new Error(`The owner ended with ${signal ?? `code ${code}`}. ${this.#stderr}`))
        else this.#fail(new Error('The owner has ended.'))
        resolve()
      })
    })
  }

  /** `script`: tests bring owners that misbehave. */
  static start(options: OwnerOptions, listener: OwnerListener, script = ownerScript): OwnerProcess {
    return new OwnerProcess(options, listener, script)
  }

  /** Resolves when the database is open, with the milliseconds that took. */
  async opened(): Promise<number> {
    const { openMs } = await this.#expect('open')
    return openMs
  }

  get records(): number {
    return this.#reader.records
  }

  /** Gives a command and waits for its reply. */
  ask<C extends Exclude<Command, { readonly do: 'stop' }>>(command: C): Promise<ReplyTo<C['do']>> {
    const reply = this.#expect<C['do']>(command.do)
    if (this.#waiting) this.#child.send(command)
    return reply
  }

  /** Tells the load to come to its end; its reply is the load's. */
  stop(): void {
    this.#child.send({ do: 'stop' } satisfies Command)
  }

  /** SIGKILL. Resolves when all that it had said has been read. */
  async kill(): Promise<void> {
    this.#killed = true
    this.#child.kill('SIGKILL')
    await this.#closed
  }

  /** Closes the database and waits for the process to go by itself. */
  async close(): Promise<void> {
    await this.ask({ do: 'close' })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error('The owner has closed the database and does not exit.')),
        exitMsMax,
      )
    })
    await Promise.race([this.#closed, late]).finally(() => clearTimeout(timer))
    if (this.#child.exitCode !== 0)
      throw this.#failure ?? new Error(`The owner ended with code ${this.#child.exitCode}.`)
  }

  #expect<Did extends Reply['did']>(did: Did): Promise<ReplyTo<Did>> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (this.#waiting)
      return Promise.reject(new Error(`The owner is still busy with "${this.#waiting.did}".`))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#fail(new Error(`The owner took too long to ${did}. ${this.#stderr}`)),
        answerMsMax,
      )
      this.#waiting = { did, resolve: resolve as (reply: Reply) => void, reject, timer }
    })
  }

  #hear(reply: Reply, listener: OwnerListener): void {
    if (reply.did === 'look') return listener.looked(reply.findings)
    if (reply.did === 'progress') return listener.progress(reply.text)
    if (reply.did === 'fail') return this.#fail(new Error(`The owner failed. ${reply.message}`))
    const waiting = this.#waiting
    if (waiting?.did !== reply.did)
      return this.#fail(new Error(`The owner says "${reply.did}", which nobody asked for.`))
    this.#waiting = undefined
    clearTimeout(waiting.timer)
    waiting.resolve(reply)
  }

  /** What the listener cannot believe (a step acknowledged out of turn) is the owner's fault. */
  #guard(hear: () => void): void {
    try {
      hear()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** The first failure is kept; whoever waits hears of it. */
  #fail(error: Error): void {
    this.#failure ??= error
    const waiting = this.#waiting
    this.#waiting = undefined
    if (!waiting) return
    clearTimeout(waiting.timer)
    waiting.reject(this.#failure)
  }
}
