/**
 * A checker of JSON Schema 2020-12, of the keywords that this package writes: an unknown one is an error, so that no schema passes
 * because nobody looked.
 */
type Schema = Readonly<Record<string, unknown>>

/** They say something to people and tools, and hold for every value. */
const annotations = new Set(['$schema', '$defs', 'description', 'default', 'format', 'contentEncoding', 'x-checks', 'x-schema', 'x-pattern'])

export class SchemaChecker {
  readonly #root: Schema

  /** `root` is the document that `$ref` leads into. */
  constructor(root: Schema) {
    this.#root = root
  }

  at(pointer: string): Schema {
    let place: unknown = this.#root
    for (const part of pointer.replace(/^#\//, '').split('/')) place = (place as Record<string, unknown>)[part]
    if (typeof place !== 'object' || place === null) throw new Error(`${pointer} leads nowhere`)
    return place as Schema
  }

  accepts(schema: Schema, value: unknown): boolean {
    return Object.entries(schema).every(([keyword, rule]) => annotations.has(keyword) || this.#holds(keyword, rule, schema, value))
  }

  #holds(keyword: string, rule: unknown, schema: Schema, value: unknown): boolean {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    const entries = isObject ? Object.entries(value) : []
    const text = typeof value === 'string' ? value : undefined
    const number = typeof value === 'number' ? value : undefined
    const list = Array.isArray(value) ? (value as readonly unknown[]) : undefined
    const schemas = rule as readonly Schema[]
    switch (keyword) {
      case '$ref': return this.accepts(this.at(rule as string), value)
      case 'anyOf': return schemas.some((one) => this.accepts(one, value))
      case 'oneOf': return schemas.filter((one) => this.accepts(one, value)).length === 1
      case 'allOf': return schemas.every((one) => this.accepts(one, value))
      case 'not': return !this.accepts(rule as Schema, value)
      case 'const': return value === rule
      case 'enum': return (rule as readonly unknown[]).includes(value)
      case 'type': return (Array.isArray(rule) ? (rule as readonly string[]) : [rule as string]).some((type) => isOfType(type, value))
      case 'minimum': return number === undefined || number >= (rule as number)
      case 'maximum': return number === undefined || number <= (rule as number)
      case 'exclusiveMinimum': return number === undefined || number > (rule as number)
      case 'pattern': return text === undefined || new RegExp(rule as string, 'u').test(text)
      case 'minLength': return text === undefined || [...text].length >= (rule as number)
      case 'maxLength': return text === undefined || [...text].length <= (rule as number)
      case 'properties': return entries.every(([name, one]) => !Object.hasOwn(rule as Schema, name) || this.accepts((rule as Readonly<Record<string, Schema>>)[name]!, one))
      case 'required': return !isObject || (rule as readonly string[]).every((name) => Object.hasOwn(value, name))
      case 'additionalProperties': {
        const known = (schema['properties'] ?? {}) as Schema
        const others = entries.filter(([name]) => !Object.hasOwn(known, name))
        return rule === false ? others.length === 0 : others.every(([, one]) => this.accepts(rule as Schema, one))
      }
      case 'propertyNames': return entries.every(([name]) => this.accepts(rule as Schema, name))
      case 'minProperties': return !isObject || entries.length >= (rule as number)
      case 'maxProperties': return !isObject || entries.length <= (rule as number)
      case 'prefixItems': return list === undefined || list.slice(0, schemas.length).every((item, at) => this.accepts(schemas[at]!, item))
      case 'items': return list === undefined || list.slice(((schema['prefixItems'] ?? []) as unknown[]).length).every((item) => this.accepts(rule as Schema, item))
      case 'minItems': return list === undefined || list.length >= (rule as number)
      case 'maxItems': return list === undefined || list.length <= (rule as number)
      default: throw new Error(`the checker does not know ${keyword}`)
    }
  }
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'null': return value === null
    case 'array': return Array.isArray(value)
    case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'integer': return Number.isInteger(value)
    case 'boolean': case 'number': case 'string': return typeof value === type
    default: throw new Error(`there is no type ${type}`)
  }
}
