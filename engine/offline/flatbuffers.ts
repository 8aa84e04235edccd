/** A schema for `flatc`: the frame, the rows of a catalog, and how to get from one to the other. */
import { frameSchema } from '../../wal/index.js'
import type { FoundSchema } from './find-schema.js'

const rules = `// ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────
//
// How to find the parts of a log: docs/log-format.md. A row image in the bytes of a lane is the struct of its table, then the values
// that are longer than 20 bytes, in the order of the columns in the catalog, each padded with zeros to a multiple of 8.
//
//   insert   image is the row
//   update   image is the row after it; before: one bit for each 8 bytes of the struct, lowest first, padded to a multiple of 8 bytes;
//            the words whose bit is set, as they were; the long old values of cells whose first word is among them, as above
//   delete   before is the row
//
// Numbers of tables, events and procedures, and the structs, are those of a catalog: of every schema part of the log, compare the
// crc32 of its text from "tables": on with CatalogMark. Another one needs its own schema (sluice schema <dir> --fbs --at <position>).
// Tables whose name begins with $ are the engine's.
`

export function flatbuffersOf({ rows, marks }: FoundSchema): string {
  return [
    frameSchema,
    rules,
    rows,
    '/// Which catalogs this explains.',
    'enum CatalogMark : uint {',
    ...marks.map((mark, n) => `  mark_${n + 1} = ${mark},`),
    '}',
    '',
  ].join('\n')
}
