/** `sluice restore`: a new directory that holds the state at a moment. */
import { restoreDatabase, Source } from '../../engine/index.js'
import { formatPosition } from '../position.js'
import type { Command } from './command.js'
import { momentOption, timeText } from './moment.js'
import { jsonLine } from '../value-json.js'
import { bytesText, countText } from './value-text.js'

export const restoreCommand: Command = {
  name: 'restore',
  summary: 'makes a new directory that holds the state at a moment',
  places: ['dir', 'newdir'],
  options: {
    to: { type: 'string', value: 'position|time', what: 'the last commit at or before this; without it, the newest' },
    json: { type: 'boolean', what: 'one JSON object' },
  },
  more: [
    '<newdir> must not exist or be empty. A batch is restored whole: the state is that after the batch of the position.',
    'Any moment from the oldest checkpoint on, or from the first commit while the log reaches back that far. Times without a zone are UTC.',
  ],
  run: async (given, terminal) => {
    const [directory, target] = given.places as [string, string]
    const to = momentOption('to', given.value('to'))
    const source = await Source.open(directory, 'alone')
    try {
      const report = await restoreDatabase(source, target, to, (what, part) => terminal.progress.show(what, part))
      terminal.progress.clear()
      const { path, batch, index, time, bytes, checkpoints } = report
      const position = formatPosition(batch, index)
      if (given.has('json')) terminal.out.line(jsonLine({ path, position, time: timeText(time), bytes, checkpoints }))
      else {
        const beside = checkpoints === 0 ? '' : `, with ${countText(checkpoints, 'checkpoint')}`
        terminal.out.line(`${path} holds the state at ${position}, ${timeText(time)}: ${bytesText(bytes)}${beside}`)
      }
      return 0
    } finally {
      await source.close()
    }
  },
}
