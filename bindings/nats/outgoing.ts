/** A commit as messages for a subject each: CloudEvents, the shape of Debezium, or what the user makes of it. */
import { SluiceError } from '../../engine/base/errors.js'
import type { AnyChange } from '../change.js'
import type { Description } from '../describe/description.js'
import { cloudEventsMediaType, toBinaryMode, toCloudEvents } from '../envelopes/cloud-events.js'
import { toDebezium } from '../envelopes/debezium.js'
import { type AnyCommit, type CommitItem, itemsOf } from '../envelopes/item.js'
import { shown } from '../schema/definition.js'
import type { AnyEvent } from '../service/event.js'

/** A message that is to be published. */
export interface OutgoingMessage {
  readonly subject: string
  readonly data: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * `'cloudevents'`: in structured mode; `'cloudevents-binary'`: attributes as headers; `'debezium'`: the value as data, its key in the
 * header `sluice-key`. A function makes the messages itself: always the same ones of the same commit, in the same order.
 */
export type PublishAs<C> = 'cloudevents' | 'cloudevents-binary' | 'debezium' | ((commit: C) => readonly OutgoingMessage[])

export interface OutgoingOptions {
  readonly as: PublishAs<AnyCommit>
  readonly subject: string | ((item: AnyChange | AnyEvent, commit: AnyCommit) => string) | undefined
  readonly source: string
  readonly tombstones: boolean
}

/** The header with the key of a message in the shape of Debezium, as JSON. */
export const keyHeader = 'sluice-key'
const subjectPattern = /^[^\s.*>]+(?:\.[^\s.*>]+)*$/

export function outgoingOf(options: OutgoingOptions, description: Description): (commit: AnyCommit) => readonly OutgoingMessage[] {
  const make = makerOf(options, description)
  return (commit) => {
    let messages: readonly OutgoingMessage[]
    try {
      messages = make(commit)
    } catch (cause) {
      if (SluiceError.is(cause)) throw cause
      throw SluiceError.of('INVALID_USE', `What makes messages of commits threw at position ${commit.position}: see cause.`, { cause, details: { position: commit.position } })
    }
    if (!Array.isArray(messages)) throw SluiceError.of('INVALID_USE', `The option as answers a list of messages, not ${shown(messages)}.`, { details: { position: commit.position } })
    for (const { subject } of messages) {
      if (typeof subject === 'string' && subjectPattern.test(subject)) continue
      throw SluiceError.of('INVALID_USE', `${shown(subject)} is no subject to publish to, at position ${commit.position}: names with dots in between, without blanks and wildcards.`, { details: { position: commit.position } })
    }
    return messages
  }
}

function makerOf({ as, subject, source, tombstones }: OutgoingOptions, description: Description): (commit: AnyCommit) => readonly OutgoingMessage[] {
  if (typeof as === 'function') return as
  const subjectOf = (item: CommitItem, commit: AnyCommit): string => {
    const one = item.kind === 'change' ? item.change : item.event
    if (typeof subject === 'function') return subject(one, commit)
    return `${subject}.${item.kind === 'change' ? item.change.table : item.event.type}`
  }
  if (as === 'debezium') {
    return (commit) => {
      const items = itemsOf(commit)
      const messages = toDebezium(commit, { name: source, description, tombstones })
      let next = 0
      let last = ''
      return messages.map(({ key, value }) => {
        if (value !== null) last = subjectOf(items[next++]!, commit) // a tombstone follows its delete
        return { subject: last, data: value === null ? '' : JSON.stringify(value), headers: { 'content-type': 'application/json', [keyHeader]: asciiJson(key) } }
      })
    }
  }
  return (commit) => {
    const items = itemsOf(commit)
    return toCloudEvents(commit, { source }).map((event, n) => ({
      subject: subjectOf(items[n]!, commit),
      ...(as === 'cloudevents' ? { data: JSON.stringify(event), headers: { 'content-type': cloudEventsMediaType } } : toBinaryMode(event)),
    }))
  }
}

/** JSON of ASCII only, which every header may hold. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
