/** `sluicedb/envelopes`: commits in the envelopes that others read, and back without loss. */
export { cloudEventsMediaType, fromBinaryMode, fromCloudEvents, toBinaryMode, toCloudEvents } from './cloud-events.js'
export type { BinaryCloudEvent, CloudEvent, CloudEventOptions } from './cloud-events.js'
export { fromDebezium, toDebezium } from './debezium.js'
export type { DebeziumMessage, DebeziumOptions, DebeziumSource, DebeziumValue } from './debezium.js'
export type { AnyCommit, Content } from './item.js'
