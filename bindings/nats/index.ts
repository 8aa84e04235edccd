/** `sluicedb/nats`: the log to a stream of NATS JetStream, and a stream into calls, exactly once in both directions. */
export { ingest } from './ingest.js'
export type { IngestOptions } from './ingest.js'
export type { BridgeStatus, IngestedMessage, Ingester, IngesterState, Publisher, PublisherState } from './bridge-types.js'
export type { HeadersLike, JetStreamLike, ManagerLike, MessageLike, MessagesLike, PublishAck, StoredMessageLike, StreamInfoLike } from './jetstream-types.js'
export type { OutgoingMessage, PublishAs } from './outgoing.js'
export { publish } from './publish.js'
export type { PublishOptions } from './publish.js'
