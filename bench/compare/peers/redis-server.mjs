/**
 * A redis-server of our own: started in a directory, reached through a socket in it, ended with us. The process that calls
 * this changes into the directory, because the path of a socket must be short.
 *
 * The connection speaks RESP2 and nothing else: commands are written together, replies come in order. A driver from npm
 * would be one more thing between the clock and the server.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createConnection } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const program = 'redis-server'
const socketName = 'redis.sock'

/** Ends the server when its input ends, that is when our process has ended, however it did. */
const guard = '"$@" & server=$!; exec 2> /dev/null; cat > /dev/null; kill -9 $server; wait $server'

const found = spawnSync(program, ['--version'], { encoding: 'utf8' })
if (found.status !== 0) {
  throw Object.assign(new Error(`${program} is not installed`), { code: 'ERR_MODULE_NOT_FOUND' })
}
export const version = /v=(\S+)/.exec(found.stdout)?.[1] ?? 'of unknown version'

/** Reads the program, so that a cold start is one of the data. */
export function warmUp() {
  spawnSync(program, ['--version'])
}

/** `settings` as in redis.conf, by name. The promise settles when it answers something else than LOADING. */
export async function startServer(directory, settings) {
  process.chdir(directory)
  const options = { port: '0', unixsocket: socketName, dir: '.', save: '', ...settings }
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const shell = spawn('sh', ['-c', guard, 'sh', program, ...flags], { stdio: ['pipe', 'ignore', 'inherit'] })
  const ended = new Promise((resolve) => shell.once('exit', resolve))
  let hasEnded = false
  void ended.then(() => (hasEnded = true))
  const connection = await connect(() => hasEnded)
  for (;;) {
    const answer = await connection.ask(['PING']).catch((error) => error)
    if (answer === 'PONG') break
    if (!String(answer.message).startsWith('LOADING')) throw answer
    await sleep(1)
  }
  return {
    connection,
    /** One more of the same server. */
    connect: () => connect(() => hasEnded),
    async pid() {
      return Number(/process_id:(\d+)/.exec(await connection.ask(['INFO', 'server']))[1])
    },
    /** Nothing is saved by it: what is not on disk by now is lost. */
    async kill() {
      connection.end()
      shell.stdin.end()
      await ended
    },
  }
}

/** Whether the append-only file is being rewritten, or soon will be. */
export async function isRewriting(connection) {
  return /aof_rewrite_(in_progress|scheduled):1/.test(await connection.ask(['INFO', 'persistence']))
}

async function connect(hasEnded) {
  for (;;) {
    const socket = createConnection(socketName)
    const isOpen = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    if (isOpen) return new Connection(socket)
    if (hasEnded()) throw new Error(`${program} ended before it answered`)
    await sleep(1)
  }
}

class Connection {
  #socket
  #waiting = []
  #first = 0
  #written = []
  #rest = Buffer.alloc(0)

  constructor(socket) {
    this.#socket = socket
    const broken = (error) => {
      for (const { failed } of this.#waiting.splice(0).slice(this.#first)) failed(error)
      this.#first = 0
    }
    socket.removeAllListeners('error')
    socket.on('data', (bytes) => this.#read(bytes)).on('error', broken)
    socket.on('close', () => broken(new Error('the connection to the server ended')))
  }

  ask(words) {
    return new Promise((done, failed) => this.send(words, done, failed))
  }

  /** What is sent in one turn of the event loop is written together. */
  send(words, done, failed) {
    this.#waiting.push({ done, failed })
    if (this.#written.length === 0) setImmediate(() => this.flush())
    this.#written.push(commandText(words))
  }

  flush() {
    if (this.#written.length > 0) this.#socket.write(this.#written.join(''))
    this.#written = []
  }

  end() {
    this.#socket.destroy()
  }

  #read(bytes) {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let at = 0
    for (;;) {
      const reply = replyAt(all, at)
      if (reply === undefined) break
      at = reply.end
      const { done, failed } = this.#waiting[this.#first]
      this.#first += 1
      if (this.#first === 4_096) {
        this.#waiting = this.#waiting.slice(this.#first)
        this.#first = 0
      }
      if (reply.value instanceof Error) failed(reply.value)
      else done(reply.value)
    }
    this.#rest = all.subarray(at)
    this.flush()
  }
}

/** Words are Latin-1 text. */
function commandText(words) {
  let text = `*${words.length}\r\n`
  for (const word of words) {
    const shown = typeof word === 'string' ? word : String(word)
    text += `$${shown.length}\r\n${shown}\r\n`
  }
  return text
}

/** The reply that begins at `at`, or undefined while it is not whole. */
function replyAt(bytes, at) {
  const lineEnd = bytes.indexOf('\r\n', at)
  if (lineEnd < 0) return undefined
  const line = bytes.latin1Slice(at + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(bytes[at])) {
    case '+':
      return { value: line, end }
    case '-':
      return { value: new Error(line), end }
    case ':':
      return { value: Number(line), end }
    case '$': {
      const length = Number(line)
      if (length < 0) return { value: null, end }
      if (bytes.length < end + length + 2) return undefined
      return { value: bytes.latin1Slice(end, end + length), end: end + length + 2 }
    }
    case '*': {
      const value = []
      let next = end
      for (let index = Number(line); index > 0; index -= 1) {
        const item = replyAt(bytes, next)
        if (item === undefined) return undefined
        value.push(item.value)
        next = item.end
      }
      return { value, end: next }
    }
    default:
      throw new Error(`no reply begins with ${JSON.stringify(line)}`)
  }
}
