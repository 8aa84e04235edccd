/** The classes of `fetch`, where the user's `lib` or types have them, else what is asked of them. */
import type { GlobalClass } from '../schema/shape.js'
import type { SignalLike } from '../signal.js'

export interface HeadersLike {
  get(name: string): string | null
}
export interface RequestLike {
  readonly method: string
  readonly url: string
  readonly headers: HeadersLike
  readonly signal: SignalLike
}
export interface ResponseLike {
  readonly status: number
  readonly headers: HeadersLike
  text(): Promise<string>
}
export type HttpRequest = GlobalClass<'Request', RequestLike>
export type HttpResponse = GlobalClass<'Response', ResponseLike>
/** What `httpHandler` answers, and what runtimes of `fetch` take. It never rejects. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>
