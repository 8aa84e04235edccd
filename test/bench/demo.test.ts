/** The demo: its pieces, its judgement of an owner that misbehaves, and one small run from end to end. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Measurements } from '../../bench/demo/measurements.js'
import { parseOptions } from '../../bench/demo/options.js'
import { OwnerProcess, type OwnerListener } from '../../bench/demo/owner-process.js'
import { RecordReader, RecordWriter, type OwnerOptions } from '../../bench/demo/protocol.js'
import { reportHtml } from '../../bench/demo/report.js'
import { bar, column, sparkline, Terminal } from '../../bench/demo/terminal.js'
import type { Acknowledgement } from '../../bench/workloads/marketplace/driver.js'
import { workloadDefaults } from '../../bench/workloads/marketplace/generator.js'
import { Verdict } from '../../bench/workloads/marketplace/verdict.js'

describe('acknowledgements on the pipe', () => {
  test('arrive whole from chunks of any size, and half a record at the end is dropped', async () => {
    const pipe = new PassThrough()
    const writer = new RecordWriter(pipe)
    const sent: Acknowledgement[] = Array.from({ length: 5_000 }, (_, plan) => ({
      plan,
      step: plan % 11,
      type: plan % 7 === 0 ? 'checkout' : 'addItem',
      outcome: plan % 13 === 0 ? 'refused' : 'committed',
      microseconds: 1 + plan * 3,
    }))
    for (const acknowledgement of sent) writer.acknowledge(acknowledgement)
    writer.see(4_711)
    writer.flush()
    const bytes = pipe.read() as Buffer
    const input = new PassThrough()
    const received: Acknowledgement[] = []
    const seen: number[] = []
    const reader = new RecordReader(input, {
      acknowledged: (acknowledgement) => received.push(acknowledgement),
      seen: (plan) => seen.push(plan),
    })
    for (let at = 0; at < bytes.length;) {
      const size = 1 + ((at * 7) % 97)
      input.write(bytes.subarray(at, at + size))
      at += size
    }
    input.end(bytes.subarray(0, 5))
    await new Promise((resolve) => input.on('end', resolve))
    expect(received).toEqual(sent)
    expect(seen).toEqual([4_711])
    expect(reader.records).toBe(writer.records)
  })
})

describe('an owner that misbehaves', () => {
  const options: OwnerOptions = {
    path: '',
    workers: 0,
    outstanding: 1,
    plansMax: 1,
    memoryBytes: 0,
    workload: workloadDefaults,
  }
  const listener: OwnerListener = {
    acknowledged: () => undefined,
    seen: () => undefined,
    looked: () => undefined,
    progress: () => undefined,
  }

  test.each([
    ['leaves', /code 3.*out of ideas/s],
    ['babbles', /says "close", which nobody asked for/],
    ['fails', /LOG_FAILED: no space left/],
  ])('that %s is found out', async (name, message) => {
    const owner = OwnerProcess.start(options, listener, new URL(`./owners/${name}.mjs`, import.meta.url))
    await owner.opened()
    await expect(owner.ask({ do: 'populate' })).rejects.toThrow(message)
    await expect(owner.ask({ do: 'populate' })).rejects.toThrow(message) // and it stays found out
    await owner.kill()
  })
})

describe('the report', () => {
  test('escapes what the run says, and needs nothing from outside', () => {
    const verdict = new Verdict(1)
    verdict.expect(false, () => '<script>alert("1")</script>')
    const html = reportHtml({
      passed: false,
      failure: `<img src=x onerror='1'>`,
      findings: [verdict.finding()],
      looks: [{ title: '<b>look</b>', findings: [verdict.finding()] }],
      facts: [['<i>', '&']],
      figures: [['<u>', '"']],
      measurements: new Measurements(),
      killedMs: 0,
    })
    expect(html).not.toMatch(/<script|<img|<b>look|<i>|<u>/)
    expect(html).not.toMatch(/https?:\/\/|NaN|undefined/)
    expect(html).toContain('&#60;script&#62;')
  })
})

describe('the options', () => {
  test('have defaults, and are checked', () => {
    expect(parseOptions([])).toMatchObject({ customers: 10_000, products: 10_000, workers: 1, seed: 1 })
    expect(parseOptions(['--seconds', '2.5', '--workers', '0'])).toMatchObject({ seconds: 2.5, workers: 0 })
    expect(parseOptions(['--help'])).toBeUndefined()
    const wrong = [
      ['--seconds', 'x'],
      ['--customers', '0'],
      ['--workers', '1.5'],
      ['--seed', ''],
      ['--nonsense'],
    ]
    for (const args of wrong) expect(() => parseOptions(args), args.join(' ')).toThrow()
  })
})

describe('the terminal', () => {
  const written = (isTTY: boolean, noColor: string | undefined): string => {
    const before = process.env['NO_COLOR']
    if (noColor === undefined) delete process.env['NO_COLOR']
    else process.env['NO_COLOR'] = noColor
    let text = ''
    const output = { isTTY, columns: 40, write: (part: string) => (text += part) } as unknown as WriteStream
    const terminal = new Terminal(output)
    terminal.show(() => [terminal.paint('red', 'first'), 'second'])
    terminal.say('said')
    terminal.hide()
    if (before === undefined) delete process.env['NO_COLOR']
    else process.env['NO_COLOR'] = before
    return text
  }

  test('redraws and colours on a TTY, and does neither in a file', () => {
    expect(written(true, undefined)).toContain('\u001b[31mfirst\u001b[0m')
    expect(written(true, '1')).not.toContain('\u001b[31m')
    expect(written(true, '1')).toContain('\u001b[2A')
    expect(written(false, undefined)).toBe('said\n')
  })

  test('draws bars that fit', () => {
    expect(bar(0.5, 4)).toBe('██░░')
    expect(bar(7, 4)).toBe('████')
    expect(sparkline([0, 4, 8], 2)).toBe('▄█')
    expect(column('\u001b[31mab\u001b[0m', 4)).toBe('\u001b[31mab\u001b[0m  ')
  })
})

const built = new URL('../../dist/bench/demo/main.js', import.meta.url)

describe.runIf(existsSync(built))('from end to end', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-demo-test-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const demo = (...args: string[]) => {
    return spawnSync(process.execPath, [built.pathname, ...args], {
      encoding: 'utf8',
      cwd: directory,
      timeout: 50_000,
    })
  }

  test('a small run is killed, goes on, meets every criterion, and leaves nothing but its report', () => {
    const args = [
      '--seconds',
      '1.5',
      '--customers',
      '300',
      '--products',
      '300',
      '--outstanding',
      '32',
      '--dir',
      directory,
    ]
    const { status, stdout, stderr } = demo(...args)
    expect(`${stdout}${stderr}`).toContain('all criteria hold')
    expect(status).toBe(0)
    expect(stdout).toContain('SIGKILL')
    expect(stdout).not.toContain('\u001b[')
    for (const criterion of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      expect(stdout).toMatch(new RegExp(`^✓ +${criterion} `, 'm'))
    expect(readdirSync(directory)).toEqual(['demo-report.html'])
    expect(readFileSync(join(directory, 'demo-report.html'), 'utf8')).toContain('All criteria hold')
  }, 60_000)

  test('wrong options are refused with the usage', () => {
    const { status, stderr } = demo('--customers', 'many')
    expect(status).toBe(2)
    expect(stderr).toMatch(/--customers is a whole number/)
    expect(demo('--dir', join(directory, 'missing')).status).toBe(2)
  })
})
