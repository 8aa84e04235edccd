/** A plan as text, a line for each thing that is done, in the order in which it is done. */
import type { Access, Operand, PathBound } from './access-path.js'
import type { QueryPath } from './planner.js'
import type { Condition, ResolvedQuery, Source, Term } from './resolved-query.js'

const signs = { eq: '=', ne: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

export function explainQuery(query: ResolvedQuery, path: QueryPath): string {
  const isOne = query.sources.length === 1
  const text = new Texts(isOne)
  const lines: string[] = []
  path.steps.forEach(({ path: { access, source }, filter }, n) => {
    lines.push(`${n === 0 ? 'read' : 'join'} ${text.source(source)} ${text.access(access, source)}`)
    for (const condition of filter) lines.push(`  where ${text.condition(condition)}`)
  })
  if (query.isGrouped) lines.push(query.groupBy.length === 0 ? 'group all' : `group by ${query.groupBy.map((term) => text.term(term)).join(', ')}`)
  for (const condition of query.having) lines.push(`  having ${text.condition(condition)}`)
  if (query.orderBy.length > 0) {
    const orders = query.orderBy.map(({ term, isDescending }) => `${text.term(term)}${isDescending ? ' desc' : ''}`)
    lines.push(`${path.isOrdered ? 'in order of' : 'sort by'} ${orders.join(', ')}`)
  }
  if (query.limit !== undefined) {
    const limit = typeof query.limit === 'number' ? String(query.limit) : text.term(query.limit)
    lines.push(`limit ${limit}${path.isLimitExact ? ', reading no more rows than that' : path.isOrdered && !query.isGrouped ? ', ending there' : ''}`)
  }
  const fields = query.columns.map(({ name, term }) => (text.term(term) === name ? name : `${text.term(term)} as ${name}`))
  lines.push(`answer ${query.nested === undefined ? fields.join(', ') : query.nested.map((one) => `${one.name}.*`).join(', ')}`)
  return lines.join('\n')
}

class Texts {
  readonly #isOne: boolean

  constructor(isOne: boolean) {
    this.#isOne = isOne
  }

  source({ as, table }: Source): string {
    return as === '' ? table.name : `${table.name} as ${as}`
  }

  access(access: Access, { table }: Source): string {
    const names = (columns: readonly number[]): readonly string[] => columns.map((column) => table.columns[column]!.name)
    const equal = (columns: readonly number[], operands: readonly Operand[]): string => operands.map((operand, n) => this.#operand(names(columns)[n]!, operand)).join(', ')
    switch (access.is) {
      case 'all':
        return 'all rows'
      case 'key':
        return `by key ${equal(table.key, access.values)}`
      case 'index':
        return `by index ${access.name}, ${equal(access.columns, access.values)}`
      case 'range': {
        const { tree, prefix, low, high, isReverse } = access
        const bounded = names(tree.columns)[prefix.length]
        const parts = [
          ...(prefix.length === 0 ? [] : [equal(tree.columns, prefix)]),
          ...[low, high].flatMap((bound, n) => (bound === undefined ? [] : [`${bounded} ${this.#bound(bound, n === 0)}`])),
        ]
        return `in order of ${tree.name === '' ? 'its key' : `index ${tree.name}`}${isReverse ? ' reversed' : ''}, ${parts.length === 0 ? 'all rows' : parts.join(', ')}`
      }
    }
  }

  #bound({ term, isOpen }: PathBound, isLow: boolean): string {
    return `${isLow ? '>' : '<'}${isOpen ? '' : '='} ${this.term(term)}`
  }
  #operand(name: string, operand: Operand): string {
    if (operand.is === 'null') return `${name} is null`
    return operand.is === 'term' ? `${name} = ${this.term(operand.term)}` : `${name} ${this.#among(operand.among)}`
  }
  #among(among: Term | readonly Term[]): string {
    return Array.isArray(among) ? `in (${(among as readonly Term[]).map((term) => this.term(term)).join(', ')})` : `in ${this.term(among as Term)}`
  }

  term(term: Term): string {
    switch (term.kind) {
      case 'parameter':
        return `$${term.parameter}`
      case 'constant':
        return term.type.name
      case 'column':
        return this.#isOne ? term.type.column!.name : term.type.name
      case 'aggregate':
        return `${term.use}(${term.of === undefined ? '*' : this.term(term.of)})`
    }
  }

  condition(condition: Condition, isInner = false): string {
    switch (condition.is) {
      case 'and':
      case 'or': {
        const text = condition.conditions.map((one) => this.condition(one, true)).join(` ${condition.is} `)
        return isInner ? `(${text})` : text
      }
      case 'isNull':
        return `${this.term(condition.term)} is null`
      case 'isNotNull':
        return `${this.term(condition.term)} is not null`
      case 'oneOf':
        return `${this.term(condition.term)} ${this.#among(condition.among)}`
      case 'noneOf':
        return `${this.term(condition.term)} not ${this.#among(condition.among)}`
      default:
        return `${this.term(condition.left)} ${signs[condition.is]} ${this.term(condition.right)}`
    }
  }
}
