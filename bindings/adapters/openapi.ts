/**
 * The OpenAPI 3.1 document of what a handler exposes: made of the description of the application, so that it says what the code does.
 *
 * Outputs of procedures are not declared anywhere and stand as `Json`, any plain data. Errors are one schema for every status.
 */
import { errorCodes } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import type { AbortDescription, ColumnDescription, Description, ProcedureDescription, TableDescription } from '../describe/description.js'
import { columnSchema, type JsonSchema, schemasOf } from '../describe/json-schema.js'
import { statusByCode } from './http-error.js'
import type { Exposed, HttpOptions } from './http-options.js'

export interface OpenApiSource {
  readonly description: Description
  readonly exposed: Exposed
  readonly basePath: string
  readonly info: HttpOptions['info']
}

const at = '#/components/schemas/'
const ref = (name: string): JsonSchema => ({ $ref: at + name })
const json = (schema: JsonSchema): JsonSchema => ({ 'application/json': { schema } })
const positionSchema = { type: 'string', pattern: '^[0-9a-f]{16}-[0-9a-f]{8}$', description: 'A place in the log: text that sorts.' }

export function openApiOf({ description, exposed, basePath, info }: OpenApiSource): JsonSchema {
  const shown = exposedPart(description, exposed)
  const paths: [string, JsonSchema][] = []
  for (const procedure of shown.procedures) paths.push([pathOf('call', procedure.name), callItem(procedure, shown.aborts)])
  for (const { description: table } of exposed.tables.values()) paths.push([pathOf('table', table.name), tableItem(table)])
  if (exposed.changes.size + exposed.events.size > 0) paths.push(['/changes', changesItem(exposed)])
  return {
    openapi: '3.1.0',
    info: {
      title: info?.title ?? description.services.join(', '),
      version: info?.version ?? '1',
      ...(info?.description !== undefined && { description: info.description }),
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    ...(basePath !== '' && { servers: [{ url: basePath }] }),
    paths: Object.fromEntries(paths),
    components: { schemas: { ...schemasOf(shown, at), Position: positionSchema, Error: errorSchema(), ...(shown.events.length + exposed.changes.size > 0 && { Commit: commitSchema(exposed) }) } },
  }
}

/** What is not exposed is not described. */
function exposedPart(description: Description, exposed: Exposed): Description {
  return {
    services: description.services,
    procedures: description.procedures.filter(({ name }) => exposed.procedures.has(name)),
    tables: description.tables.filter(({ name }) => exposed.tables.has(name) || exposed.changes.has(name)),
    replicas: [],
    events: description.events.filter(({ name }) => exposed.events.has(name)),
    aborts: description.aborts.filter((abort) => [...exposed.procedures.values()].some((one) => mayAbort(one.description, abort))),
  }
}

/** Reasons are declared by a service for its procedures, and by an aggregate for its commands. */
const mayAbort = (procedure: ProcedureDescription, abort: AbortDescription): boolean => procedure.service === abort.service && procedure.aggregate === abort.aggregate

const pathOf = (kind: string, name: string): string => `/${kind}/${name.replace('.', '/')}`

// ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

function callItem(procedure: ProcedureDescription, aborts: readonly AbortDescription[]): JsonSchema {
  const { name, service, aggregate, input, readonly, lane } = procedure
  const isRequired = input.some((column) => !column.optional)
  const reasons = aborts.filter((abort) => mayAbort(procedure, abort)).map(({ reason }) => reason)
  const common = {
    tags: [service],
    'x-lane': lane,
    responses: {
      200: { description: 'What it returned.', content: json(answerSchema) },
      ...(reasons.length > 0 && { 422: { description: `ABORTED, with one of the reasons of its ${aggregate === undefined ? 'service' : 'aggregate'}: ${reasons.join(', ')}; or ID_REUSED.`, content: json(ref('Error')) } }),
      ...refused,
    },
  }
  const post = {
    operationId: name,
    ...common,
    ...(!readonly && { parameters: [idempotencyKey] }),
    ...(input.length > 0 && { requestBody: { required: isRequired, content: json(ref(`${name}.input`)) } }),
  }
  if (!readonly) return { post }
  const parameters = [{ name: 'input', in: 'query', required: isRequired, content: json(ref(`${name}.input`)) }]
  return { get: { operationId: `${name}.get`, ...common, ...(input.length > 0 && { parameters }) }, post }
}

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'Makes the call exactly-once: a repeat with the same key and input answers the recorded outcome.',
  schema: { type: 'string', minLength: 1, maxLength: limits.requestIdBytesMax },
}

const answerSchema = {
  type: 'object',
  properties: {
    value: { description: 'Absent where it returned nothing.', ...ref('Json') },
    position: ref('Position'),
    durability: { enum: ['fsync', 'os', 'memory'] },
    repeated: { type: 'boolean', description: 'The outcome was recorded by an earlier call with this key.' },
  },
  required: ['position', 'durability', 'repeated'],
}

// ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────

function tableItem(table: TableDescription): JsonSchema {
  const { name, service, ordered, key, columns } = table
  const parts = key.map((one) => columns.find((column) => column.name === one)!)
  const bound = (parameter: string, description: string): JsonSchema => ({ name: parameter, in: 'query', style: 'form', explode: true, description, schema: tupleSchema(parts) })
  const single = (parameter: string, schema: JsonSchema, description: string): JsonSchema => ({ name: parameter, in: 'query', description, schema })
  const columnsOf = `Of ${key.join(', ')}, one for each`
  const parameters = [
    bound('key', `One row: ${columnsOf}.`),
    ...(ordered
      ? [
          bound('prefix', `A page of the rows that begin so. ${columnsOf}, from the first.`),
          bound('from', 'The low end of a page, included.'),
          bound('after', 'The last key of the page before.'),
          bound('to', 'The high end of a page, not included.'),
          single('reverse', { type: 'boolean' }, 'From the high end down.'),
          single('limit', { type: 'integer', minimum: 1, maximum: limits.httpPageRowsMax, default: limits.httpPageRowsDefault }, 'Rows of the page.'),
        ]
      : []),
    single('at', ref('Position'), 'The state after the batch of this position. Default: the newest.'),
  ]
  const one = { type: 'object', properties: { row: ref(`${name}.row`), position: ref('Position') }, required: ['row', 'position'] }
  const page = {
    type: 'object',
    properties: { rows: { type: 'array', items: ref(`${name}.row`) }, position: ref('Position'), next: { type: 'string', description: 'The next page, relative to this address; absent on the last one.' } },
    required: ['rows', 'position'],
  }
  const content = json(ordered ? { oneOf: [one, page] } : one)
  return { get: { operationId: `${name}.read`, tags: [service], parameters, responses: { 200: { description: 'The row, or a page of rows.', content }, ...refused } } }
}

/** Text of an address: what is no text in JSON is written as JSON writes it. */
function tupleSchema(parts: readonly ColumnDescription[]): JsonSchema {
  return { type: 'array', prefixItems: parts.map((column) => columnSchema(column, at)), maxItems: parts.length }
}

// ── the stream ────────────────────────────────────────────────────────────────────────────────────────────────

function changesItem({ changes, events }: Exposed): JsonSchema {
  const list = (names: Iterable<string>): JsonSchema => ({ type: 'array', items: { enum: [...names] } })
  const parameters = [
    { name: 'tables', in: 'query', style: 'form', explode: false, schema: list(changes.keys()), description: 'Default, where events is left out too: all.' },
    { name: 'events', in: 'query', style: 'form', explode: false, schema: list(events.keys()), description: 'Default, where tables is left out too: all.' },
    { name: 'from', in: 'query', schema: { anyOf: [{ enum: ['now', 'beginning'] }, ref('Position')] }, description: 'Default: now.' },
    { name: 'Last-Event-ID', in: 'header', schema: ref('Position'), description: 'Goes before from: the commits after this one.' },
  ]
  const content = { 'text/event-stream': { schema: { type: 'string', description: 'Events named commit: their data is a Commit, their id its position. One named schema, without an id, comes where the application was changed.' } } }
  return { get: { operationId: 'changes', tags: ['changes'], parameters, responses: { 200: { description: 'Commits, in order, without end.', content }, ...refused } } }
}

function commitSchema({ changes, events }: Exposed): JsonSchema {
  const change = ({ name, key, columns }: TableDescription): JsonSchema => {
    const parts = key.map((one) => columnSchema(columns.find((column) => column.name === one)!, at))
    return {
      type: 'object',
      properties: {
        table: { const: name },
        kind: { enum: ['insert', 'update', 'delete'] },
        key: parts.length === 1 ? parts[0] : { type: 'array', prefixItems: parts, minItems: parts.length, maxItems: parts.length },
        before: ref(`${name}.row`),
        after: ref(`${name}.row`),
      },
      required: ['table', 'kind', 'key'],
    }
  }
  const oneOf = (schemas: readonly JsonSchema[]): JsonSchema => (schemas.length === 0 ? { type: 'array', maxItems: 0 } : { type: 'array', items: { oneOf: schemas } })
  return {
    type: 'object',
    properties: {
      position: ref('Position'),
      time: { type: 'integer', description: 'Milliseconds since 1970-01-01T00:00:00Z.' },
      procedure: { type: 'string' },
      requestId: { type: 'string' },
      changes: oneOf([...changes.values()].map((one) => change(one.description))),
      events: oneOf([...events.keys()].map((name) => ({ type: 'object', properties: { type: { const: name }, payload: ref(`${name}.payload`) }, required: ['type', 'payload'] }))),
      erased: { const: true, description: 'An erasure has taken something of it away.' },
      compacted: { const: true, description: 'Retention has taken something of it away.' },
    },
    required: ['position', 'time', 'changes', 'events'],
  }
}

// ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────

const refused = { default: { description: `Refused. The status follows the code: ${errorCodes.map((code) => `${code} ${statusByCode[code]}`).join(', ')}.`, content: json(ref('Error')) } }

function errorSchema(): JsonSchema {
  return {
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: {
          code: { enum: errorCodes },
          reason: { type: 'string', description: 'The word of the procedure, where the code is ABORTED.' },
          message: { type: 'string' },
          retryable: { type: 'boolean', description: 'The same request may succeed later.' },
          details: ref('Json'),
        },
        required: ['code', 'message', 'retryable', 'details'],
      },
    },
    required: ['error'],
  }
}
