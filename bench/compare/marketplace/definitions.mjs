/** The services of bench/workloads/marketplace as data: the same tables, procedures and handlers, to be run somewhere else. */
const compiled = new URL('../../../dist/', import.meta.url)
const load = (path) => import(new URL(path, compiled).href)

const { services } = await load('bench/workloads/marketplace/services.js')
const { serviceDefinitions } = await load('bindings/service/service-definition.js')
const { procedureDefinitions } = await load('bindings/service/procedure.js')
const { SluiceError } = await load('engine/base/errors.js')
export const { openEntries, openOrders } = await load('bench/workloads/marketplace/seller.js')

const definitions = services.map((service) => serviceDefinitions.of(service))
export const serviceNames = definitions.map(({ name }) => name)
export const definitionOf = (name) => definitions.find((definition) => definition.name === name)
export const serviceOf = (procedure) => procedureDefinitions.of(procedure).service

/** The handlers of one service by the name of the event, each list in order of declaration. */
export function handlersOf(name) {
  const handlers = new Map()
  for (const handler of definitionOf(name).handlers.values()) {
    const event = handler.events[0]().name
    handlers.set(event, [...(handlers.get(event) ?? []), handler])
  }
  return handlers
}

/** How many services handle an event. */
export const audienceOf = (event) => serviceNames.filter((name) => handlersOf(name).has(event)).length

export const aborted = (reason, details = {}) => SluiceError.of('ABORTED', `refused: ${reason}`, { reason, details })
