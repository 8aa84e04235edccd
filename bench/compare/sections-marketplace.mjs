/**
 * The Online Marketplace beside the usual way to build it: what one contest of two whole systems has to say, as sections.
 * It is no contest of the harness, for its contestants are several processes and their judge asks for criteria.
 */
import { marketplace } from './marketplace/contest.mjs'

export const marketplaceId = 'marketplace'
export const marketplaceTitle = 'The Online Marketplace, one transaction beside eight processes'
const goal = 10
const oursName = 'sluicedb, one process, one transaction a checkout'
const peerName = 'eight processes, better-sqlite3 FULL each, NATS JetStream'

export async function marketplaceResults(b, spread) {
  const options = {
    plans: b.parameter('marketplacePlans', 120, 4_000),
    customers: b.parameter('marketplaceCustomers', 100, 2_000),
    products: b.parameter('marketplaceProducts', 100, 2_000),
    outstanding: b.parameter('marketplaceOutstanding', 16, 96),
    looks: b.parameter('marketplaceLooks', 2, 5),
  }
  const rounds = []
  for (let round = 0; round < b.parameter('marketplaceRounds', 1, 3); round += 1) rounds.push(await marketplace(options))
  const brokenText = (of) => {
    const numbers = rounds.flatMap((round) => round[of].broken.map(({ criterion }) => criterion))
    const distinct = [...new Set(numbers)].sort((one, other) => one - other)
    return distinct.length === 0 ? '0' : `${distinct.length} (${distinct.join(', ')})`
  }
  const { skipped } = rounds.at(-1).peer
  const [ours] = rounds.map((round) => round.ours)
  const looks = rounds.reduce((sum, round) => sum + round.ours.looked, 0)
  const broken = `Of ${ours.asked} criteria broken at ${looks} snapshots under load: ours ${brokenText('ours')}, `
    + `the peer ${skipped === undefined ? brokenText('peer') : 'skipped'}.`
  const about = `${options.customers} customers, ${options.products} products, full profile, ${options.outstanding} at a time, `
    + `${ours.transactions} transactions and ${ours.checkouts} checkouts in a round. ${broken}`

  const section = (id, title, unit, better, of, wanted) => {
    const own = spread(rounds.map((round) => round.ours[of]))
    const lines = [{ name: oursName, ...own, ratio: 1 }]
    if (skipped !== undefined) lines.push({ name: peerName, skipped })
    else {
      const figures = spread(rounds.map((round) => round.peer[of]))
      const ratio = better === 'higher' ? own.median / figures.median : figures.median / own.median
      const met = wanted === undefined ? undefined : ratio >= wanted
      lines.push({ name: peerName, ...figures, ratio, goal: wanted, met })
    }
    return { id, title, about, unit, better, lines }
  }
  return [
    section('marketplace', 'Online Marketplace, until the last effect of all', '/s', 'higher', 'perSecond', goal),
    section('marketplace-checkout', 'A checkout, until its last effect can be read: p50', 'ms', 'lower', 'checkoutP50Ms', goal),
    section('marketplace-checkout-p99', 'A checkout, until its last effect can be read: p99', 'ms', 'lower', 'checkoutP99Ms'),
    section('marketplace-cpu', 'Processor seconds of 1,000 checkouts with the mix around them', 's', 'lower', 'cpuSecondsPer1000'),
  ]
}
