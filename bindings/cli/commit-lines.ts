/** A commit of the log as lines: text for people, JSON for programs. */
import type { ListedCommit } from '../../engine/index.js'
import { formatPosition } from '../position.js'
import { timeText } from './moment.js'
import { jsonLine, jsonOf } from '../value-json.js'
import { fieldsText, plain, textOf } from './value-text.js'

type Change = ListedCommit['changes'][number]

/** One line for the commit, and one for each change and event. */
export function commitText(commit: ListedCommit): string[] {
  const id = commit.id === undefined ? '' : `  id ${plain(commit.id)}`
  const head = `${positionOf(commit)}  ${timeText(commit.time)}  ${plain(commit.procedure)}${id}  ${resultText(commit)}${commit.isErased ? '  (erased)' : ''}${commit.isCompacted ? '  (compacted)' : ''}`
  const changes = commit.changes.map((change) => `  ${changeText(change)}`)
  const events = commit.events.map(({ type, payload }) => `  ! ${plain(type)}  ${fieldsText(payload)}`)
  return [head, ...changes, ...events]
}

function resultText({ result, answer }: ListedCommit): string {
  if (answer === undefined) return result
  if ('value' in answer) return answer.value === undefined ? result : `${result} ${textOf(answer.value)}`
  return `${result}${answer.reason === undefined ? '' : ` ${plain(answer.reason)}`}: ${plain(answer.message)}`
}

function changeText(change: Change): string {
  const name = `${plain(change.table)} ${textOf(change.key)}`
  switch (change.kind) {
    case 'insert':
      return `+ ${name}  ${fieldsText(change.after ?? {})}`
    case 'delete':
      return `- ${name}`
    case 'update': {
      const { before = {}, after = {} } = change
      const changed = Object.keys(after).filter((column) => !isSame(before[column], after[column]))
      const columns = changed.map((column) => `${plain(column)} ${textOf(before[column])} → ${textOf(after[column])}`)
      return `~ ${name}  ${columns.join(', ')}`
    }
  }
}

export function commitJson(commit: ListedCommit): string {
  const { time, procedure, id, result, answer, changes, events } = commit
  const line = {
    position: positionOf(commit),
    time: timeText(time),
    procedure,
    id: id ?? null,
    outcome: result,
    ...(commit.isErased && { erased: true }),
    ...(commit.isCompacted && { compacted: true }),
    ...(answer !== undefined && answerJson(answer)),
    changes: changes.map(({ kind, table, key, before, after }) => ({
      kind,
      table,
      key: jsonOf(key),
      ...(before !== undefined && { before: jsonOf(before) }),
      ...(after !== undefined && { after: jsonOf(after) }),
    })),
    events: events.map(({ type, payload }) => ({ type, payload: jsonOf(payload) })),
  }
  return jsonLine(line)
}

function answerJson(answer: NonNullable<ListedCommit['answer']>): object {
  return 'value' in answer ? { result: jsonOf(answer.value) } : { reason: answer.reason ?? null, message: answer.message }
}

const positionOf = ({ batch, index }: ListedCommit): string => formatPosition(batch, index)

/** By content: a text that is cut for showing may differ behind the cut. */
const isSame = (left: unknown, right: unknown): boolean =>
  left === right || JSON.stringify(jsonOf(left)) === JSON.stringify(jsonOf(right))
