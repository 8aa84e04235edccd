/** `sluicedb/http`: a database over HTTP. Off unless mounted. */
export { httpHandler } from './http-handler.js'
export { toNode } from './node-bridge.js'
export type { NodeRequest, NodeResponse } from './node-bridge.js'
export type { HeadersLike, HttpHandler, HttpRequest, HttpResponse, RequestLike, ResponseLike } from './fetch-types.js'
export type { Expose, HttpLimits, HttpOptions, Operation } from './http-options.js'
export { jsonSchemas } from '../describe/json-schema.js'
export type { JsonSchema } from '../describe/json-schema.js'
