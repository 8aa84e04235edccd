/**
 * `POST /call/<service>/<procedure>`: one call, as `db.submit` makes it.
 *
 *   Idempotency-Key: order-7          the id of the call: a repeat answers the recorded outcome
 *   {"from":"ann","to":"bob","amount":5}
 *
 *   200 {"value":{"left":95},"position":"…","durability":"fsync","repeated":false}
 *
 * The input is checked by the engine. A client that goes away withdraws its call while no batch has taken it. Procedures that only
 * read also answer `GET …?input=<JSON>`: never sequenced, and repeatable by anybody, so they have no id.
 */
import type { Database, Receipt } from '../database-types.js'
import type { ProcedureDescription } from '../describe/description.js'
import type { Procedure } from '../service/procedure.js'
import { jsonOf } from '../value-json.js'
import type { HttpRequest, HttpResponse } from './fetch-types.js'
import { type BodyReader, jsonOfText } from './http-body.js'
import { jsonResponse, wrongAddress } from './http-error.js'
import { columnsByName, recordOfJson } from './record-json.js'

export class CallPort {
  readonly description: ProcedureDescription
  readonly #handle: Procedure
  readonly #input: ReturnType<typeof columnsByName>

  constructor(handle: Procedure, description: ProcedureDescription) {
    this.#handle = handle
    this.description = description
    this.#input = columnsByName(description.input)
  }

  async input(request: HttpRequest, query: URLSearchParams, bodies: BodyReader): Promise<unknown> {
    const json = request.method === 'GET' ? inputInAddress(query) : await bodies.json(request)
    return recordOfJson(this.#input, json, `The input of ${this.description.name}`)
  }

  async answer(db: Database, input: unknown, request: HttpRequest, id: string | undefined, timeoutMs: number): Promise<HttpResponse> {
    const options = { signal: request.signal, timeoutMs, ...(id !== undefined && { id }) }
    const receipt: Receipt<unknown> = await db.submit(this.#handle, input as never, options)
    const { value, position, durability, repeated } = receipt
    return jsonResponse(200, { ...(value !== undefined && { value: jsonOf(value) }), position, durability, repeated })
  }
}

function inputInAddress(query: URLSearchParams): unknown {
  for (const name of query.keys()) if (name !== 'input') throw wrongAddress(`A call in an address has one parameter, input, and no "${name.slice(0, 40)}".`)
  const inputs = query.getAll('input')
  if (inputs.length > 1) throw wrongAddress('A call has one input.')
  return jsonOfText(inputs[0] ?? '')
}
