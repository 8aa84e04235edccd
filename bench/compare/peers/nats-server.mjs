/** A nats-server of our own with JetStream in a directory: started, asked for its port, ended with us. */
import { spawn, spawnSync } from 'node:child_process'
import { createConnection, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const program = 'nats-server'
const startMsMax = 30_000
/** Ends the server when its input ends, that is when our process has ended, however it did. */
const guard = '"$@" & server=$!; echo $server; exec 2> /dev/null; cat > /dev/null; kill -9 $server; wait $server'

const found = spawnSync(program, ['-v'], { encoding: 'utf8' })
export const version = found.status === 0 ? found.stdout.trim().replace(/^.*v/, '') : undefined

export async function startServer(directory) {
  const port = await freePort()
  const flags = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', directory, '-l', `${directory}/nats.log`]
  const shell = spawn('sh', ['-c', guard, 'sh', program, ...flags], { stdio: ['pipe', 'pipe', 'inherit'] })
  const pid = await new Promise((resolve) => shell.stdout.once('data', (text) => resolve(Number(text))))
  const ended = new Promise((resolve) => shell.once('exit', resolve))
  await listening(port)
  return {
    port,
    pid,
    async kill() {
      shell.stdin.end()
      await ended
    },
  }
}

async function listening(port) {
  for (const deadline = Date.now() + startMsMax; ; await sleep(5)) {
    const socket = createConnection(port, '127.0.0.1')
    const isOpen = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (isOpen) return
    if (Date.now() > deadline) throw new Error(`${program} did not begin to listen`)
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
