/** Questions to the store, answered over a read view. */
export { IndexReader, TableReader, type ReadSource } from './table-reader.js'
