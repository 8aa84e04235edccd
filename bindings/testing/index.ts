/**
 * `sluicedb/testing`: aggregates without a database, and databases that are the same in every run.
 *
 * It knows no test runner: what does not hold is thrown, with both sides and their difference in the message.
 */
export { given } from './given.js'
export type { Given, GivenEvent, GivenOptions, Then, When } from './given.js'
export { testDatabase } from './test-database.js'
export type { TestDatabaseOptions } from './test-database.js'
