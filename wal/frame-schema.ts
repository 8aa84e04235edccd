/**
 * `frame.fbs` as a text, for tools: a package has no sources beside it. test/interop/other-language.test.ts proves that it is that file.
 */
export const frameSchema = String.raw`// The body of a frame: one batch, as vectors of structs over one vector of bytes (docs/log-format.md).
//
// Rule of change: append fields to the root tables, never reorder or remove them; structs never change (a new
// meaning is a new struct in a new vector). Written again
// as in wal/generated/README.md.
//
// Everything in a lane follows everything of the lane before it, in each vector. All byte offsets in the structs of
// a lane count from the first byte of that lane's part of ${"`"}bytes${"`"}, so that lanes are encoded apart and joined by copying.

namespace sluice;

struct Lane {
  partition: uint;      // 0xffffffff: the cross-partition lane
  transactions: uint;   // counts
  changes: uint;
  events: uint;
  bytes: uint;          // length of the lane's part of ${"`"}bytes${"`"}
}

struct Transaction {
  place: uint;          // among the requests taken in by the batch
  procedure: uint;
  outcome: uint;        // low 8 bits: its kind
  result_hash: uint;
  result: uint;         // offset and length of the result, when it is stored itself
  result_bytes: uint;
  id: uint;             // offset and length of the request id; length 0: none
  id_bytes: uint;
  changes: uint;        // counts: its changes and events follow those of the transaction before it
  events: uint;
}

struct Change {
  layout: uint;
  kind: uint;           // 1 insert, 2 update, 3 delete
  image: uint;
  image_bytes: uint;
  before: uint;
  before_bytes: uint;
}

struct Event {
  type: uint;
  payload: uint;
  payload_bytes: uint;
}

table FrameBody {
  batch: ulong;
  now: double;          // milliseconds
  seed: uint;
  lanes: [Lane];
  transactions: [Transaction];
  changes: [Change];
  events: [Event];
  bytes: [ubyte];
}

// What every segment begins with: the canonical JSON text of the catalog, opaque to the log. Identifier "SLS1".
table Schema {
  json: [ubyte];
}

root_type FrameBody;
file_identifier "SLF1";
`
