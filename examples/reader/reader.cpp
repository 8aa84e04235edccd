// Reads the log of a database without SluiceDB, and prints its commits as JSON lines. What it knows of the bytes is in
// shop_generated.h, which flatc has made of `sluice schema <dir> --fbs`, and in docs/log-format.md.
//
//   g++ -std=c++17 -O2 reader.cpp -o reader && ./reader <dir>/log
//
// It checks magic, places and checksums, and takes the first bytes that are no part of the log for its end. Whether a log that ends
// early was damaged, `sluice verify` tells.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>
#include "shop_generated.h"

using namespace sluice;
using std::string, std::vector;

struct Span {
  const uint8_t* data;
  size_t size;
  Span part(size_t at, size_t bytes) const {
    if (at > size || bytes > size - at) throw std::runtime_error("bytes lie outside of what holds them");
    return {data + at, bytes};
  }
  string text() const { return string(reinterpret_cast<const char*>(data), size); }
};
template <class Number> Number at(Span bytes, size_t place) {
  Number number;
  memcpy(&number, bytes.part(place, sizeof number).data, sizeof number);
  return number;
}
size_t pad8(size_t bytes) { return (bytes + 7) & ~size_t(7); }
/// As zlib has it; `before` is what it goes on from.
uint32_t crc32(Span bytes, uint32_t before = 0) {
  static uint32_t table[256];
  for (uint32_t n = 0; n < 256 && table[255] == 0; n++) {
    uint32_t word = n;
    for (int bit = 0; bit < 8; bit++) word = word & 1 ? 0xedb88320u ^ (word >> 1) : word >> 1;
    table[n] = word;
  }
  uint32_t crc = ~before;
  for (size_t n = 0; n < bytes.size; n++) crc = table[(crc ^ bytes.data[n]) & 0xff] ^ (crc >> 8);
  return ~crc;
}

// ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A row, and its values of variable length in the order of the columns.
template <class Row> struct Image {
  Row row;
  vector<string> values;
};
vector<const Value*> cellsOf(const ShopItemRow& row) { return {&row.id(), &row.note(), &row.data(), &row.more()}; }
vector<const Value*> cellsOf(const ShopPlaceRow& row) { return {&row.shelf(), &row.item()}; }

/// In the cell, or at `next` of the image, which then moves on.
string valueOf(const Value* cell, Span image, size_t& next) {
  size_t bytes = cell->head() & 0x3fffffff;
  if (bytes <= 20) return string(reinterpret_cast<const char*>(cell) + 4, bytes);
  string value = image.part(next, bytes).text();
  next += pad8(bytes);
  return value;
}

template <class Row> Image<Row> wholeRow(Span image) {
  Image<Row> found;
  memcpy(&found.row, image.part(0, sizeof(Row)).data, sizeof(Row));
  size_t next = sizeof(Row);
  for (const Value* cell : cellsOf(found.row)) found.values.push_back(valueOf(cell, image, next));
  return found;
}

template <class Row> Image<Row> rowBefore(const Image<Row>& after, Span image) {
  Image<Row> found = after;
  auto row = reinterpret_cast<uint8_t*>(&found.row);
  const size_t words = sizeof(Row) / 8;
  auto isChanged = [&](size_t word) { return (at<uint8_t>(image, word / 8) >> (word % 8) & 1) != 0; };
  size_t next = pad8((words + 7) / 8), n = 0;
  for (size_t word = 0; word < words; word++) {
    if (!isChanged(word)) continue;
    memcpy(row + word * 8, image.part(next, 8).data, 8);
    next += 8;
  }
  for (const Value* cell : cellsOf(found.row)) {
    bool isLong = (cell->head() & 0x3fffffff) > 20;
    // A long value whose cell has not changed is that of the row after.
    if (!isLong || isChanged((reinterpret_cast<const uint8_t*>(cell) - row) / 8)) found.values[n] = valueOf(cell, image, next);
    n++;
  }
  return found;
}

// ── values as JSON, as docs/operations.md has them ──────────────────────────────────────────────────────────────

string jsonText(const string& text) {
  string json = "\"";
  for (unsigned char letter : text) {
    char code[8];
    snprintf(code, sizeof code, "\\u%04x", letter);
    if (letter < 0x20) json += code;
    else if (letter == '"' || letter == '\\') json += {'\\', char(letter)};
    else json += char(letter);
  }
  return json + "\"";
}
/// A column holds no NaN.
string number(double value) {
  if (std::isinf(value)) return value > 0 ? "{\"$number\":\"Infinity\"}" : "{\"$number\":\"-Infinity\"}";
  char text[32];
  return snprintf(text, sizeof text, "%.17g", value), text;
}
string hex(const string& bytes, string text = "") {
  for (unsigned char byte : bytes) text += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  return text;
}
string uuid(const Uuid& value) {
  string text = hex(Span{reinterpret_cast<const uint8_t*>(&value), 16}.text());
  for (int place : {20, 16, 12, 8}) text.insert(place, "-");
  return jsonText(text);
}

const char* states[] = {"new", "in \"use\"", "gone"};

string columns(const Image<ShopItemRow>& image) {
  const ShopItemRow& row = image.row;
  auto orNull = [&](uint32_t bit, const string& value) { return row.nulls() & bit ? "null" : value; };
  return "{\"id\":" + jsonText(image.values[0]) + ",\"n\":" + number(row.n()) + ",\"weight\":" + number(row.weight()) +
    ",\"sold\":" + (row.sold() == 1 ? "true" : "false") + ",\"note\":" + orNull(0x1, jsonText(image.values[1])) +
    ",\"at\":" + orNull(0x2, number(row.at())) + ",\"state\":" + orNull(0x4, jsonText(states[row.state() % 3])) +
    ",\"amount\":\"" + std::to_string(row.amount()) + "\",\"code\":" + uuid(row.code()) + ",\"data\":" + orNull(0x8, jsonText(hex(image.values[2]))) +
    ",\"small\":" + std::to_string(row.small()) + ",\"count\":" + orNull(0x10, std::to_string(row.count())) +
    ",\"more\":" + orNull(0x20, jsonText(hex(image.values[3]))) + "}";
}
string columns(const Image<ShopPlaceRow>& image) {
  return "{\"row\":" + number(image.row.row()) + ",\"shelf\":" + jsonText(image.values[0]) + ",\"item\":" + jsonText(image.values[1]) + "}";
}
string key(const Image<ShopItemRow>& image) { return jsonText(image.values[0]); }
string key(const Image<ShopPlaceRow>& image) { return "[" + number(image.row.row()) + "," + jsonText(image.values[0]) + "]"; }

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

const char* events[] = {"shop.stored", "shop.cleared"};

template <class Row> string changeOf(const char* table, const Change& change, Span bytes) {
  bool isInsert = change.kind() == 1, isUpdate = change.kind() == 2;
  Span image = bytes.part(change.image(), change.image_bytes()), old = bytes.part(change.before(), change.before_bytes());
  Image<Row> row = wholeRow<Row>(isInsert || isUpdate ? image : old);
  string json = string("{\"kind\":\"") + (isInsert ? "insert" : isUpdate ? "update" : "delete") + "\",\"table\":\"" + table + "\",\"key\":" + key(row);
  if (!isInsert) json += ",\"before\":" + columns(isUpdate ? rowBefore(row, old) : row);
  if (isInsert || isUpdate) json += ",\"after\":" + columns(row);
  return json + "}";
}

void printFrame(Span body) {
  flatbuffers::Verifier verifier(body.data, body.size);
  if (!VerifyFrameBodyBuffer(verifier)) throw std::runtime_error("a frame is no FrameBody");
  const FrameBody& frame = *GetFrameBody(body.data);
  uint32_t transaction = 0, change = 0, event = 0, byte = 0;
  for (const Lane* lane : *frame.lanes()) {
    Span bytes = Span{frame.bytes()->data(), frame.bytes()->size()}.part(byte, lane->bytes());
    byte += lane->bytes();
    for (uint32_t n = 0; n < lane->transactions(); n++, transaction++) {
      const Transaction& one = *frame.transactions()->Get(transaction);
      string changed, emitted;
      for (uint32_t end = change + one.changes(); change < end; change++) {
        const Change& of = *frame.changes()->Get(change);
        string json = of.layout() == TableNumber_shop_item ? changeOf<ShopItemRow>("shop.item", of, bytes)
          : of.layout() == TableNumber_shop_place ? changeOf<ShopPlaceRow>("shop.place", of, bytes) : "";
        if (json != "") changed += (changed == "" ? "" : ",") + json;
      }
      for (uint32_t end = event + one.events(); event < end; event++) emitted += (emitted == "" ? "" : ",") + jsonText(events[frame.events()->Get(event)->type()]);
      // Refused calls with an id are recorded too, and so is what the engine does for itself.
      if ((one.outcome() & 0xff) != 0 || (changed == "" && emitted == "")) continue;
      printf("{\"position\":\"%016llx-%08x\",\"procedure\":\"%s\",\"changes\":[%s],\"events\":[%s]}\n", (unsigned long long)frame.batch(), transaction,
        EnumNameProcedureNumber(ProcedureNumber(one.procedure())), changed.c_str(), emitted.c_str());
    }
  }
}

/// Numbers and structs are those of a catalog: another one is not read by this program.
void mustBeKnown(Span body) {
  flatbuffers::Verifier verifier(body.data, body.size);
  if (!verifier.VerifyBuffer<Schema>("SLS1")) throw std::runtime_error("a schema is none");
  auto json = flatbuffers::GetRoot<Schema>(body.data)->json();
  string text = Span{json->data(), json->size()}.text();
  text.erase(0, text.find("\"tables\":"));
  uint32_t mark = crc32({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  for (CatalogMark known : EnumValuesCatalogMark()) if (mark == known) return;
  throw std::runtime_error("the log has a schema that this program was not made of (sluice schema <dir> --fbs)");
}

// ── the log ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// What the next part must fit: database, batch, and chain before it.
struct Place {
  string database;
  double batch;
  uint32_t chain;
};

/// Reads one segment; answers false where no part of the log begins it.
bool readSegment(Span file, uint32_t segment, Place& place, bool isFirst) {
  for (size_t offset = 0; offset + 128 <= file.size;) {
    Span head = file.part(offset, 128);
    uint8_t kind = at<uint8_t>(head, 6);
    // At 0 no segment begins here; further on it ends, and the next one may go on.
    if (memcmp(head.data, "SLU1", 4) != 0 || at<uint32_t>(head, 124) != crc32(head.part(0, 124))) return offset > 0;
    if (at<uint16_t>(head, 4) != 1) throw std::runtime_error("the log is of a newer format");
    if (at<uint32_t>(head, 24) != segment || at<uint32_t>(head, 28) != offset || (kind == 4) != (offset == 0)) return offset > 0;
    if (isFirst && offset == 0) place = {head.part(8, 16).text(), at<double>(head, 40), at<uint32_t>(head, 72)};
    if (head.part(8, 16).text() != place.database || at<double>(head, 48) != place.batch) return offset > 0;
    size_t bytes = std::min<size_t>(at<uint32_t>(head, 36), file.size - offset - 128);
    Span body = file.part(offset + 128, bytes);
    if (at<uint32_t>(head, 36) != bytes || at<uint32_t>(head, 64) != crc32(body)) return offset > 0;
    uint32_t chain = kind == 1 ? crc32(head.part(68, 4), place.chain) : place.chain;
    if (chain != at<uint32_t>(head, 72)) return offset > 0;
    place = {place.database, at<double>(head, 40), chain};
    if (kind == 1) printFrame(body);
    if (kind == 3) mustBeKnown(body);
    offset += kind == 4 ? 4096 : 128 + pad8(bytes);
  }
  return true;
}

int main(int count, char** words) {
  if (count != 2) return fprintf(stderr, "usage: reader <dir>/log\n"), 2;
  try {
    std::filesystem::path folder = words[1];
    if (std::filesystem::exists(folder / "erasure")) throw std::runtime_error("an erasure is under way: open the database once");
    // Names of ten digits, without a gap: their order is that of the numbers.
    vector<std::filesystem::path> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) if (entry.path().extension() == ".slog") names.push_back(entry.path());
    std::sort(names.begin(), names.end());
    Place place;
    for (const auto& name : names) {
      std::ifstream file(name, std::ios::binary);
      vector<char> bytes(std::filesystem::file_size(name));
      if (!file.read(bytes.data(), bytes.size())) throw std::runtime_error("a segment cannot be read");
      if (!readSegment({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, uint32_t(std::stoul(name.stem())), place, name == names[0])) break;
    }
  } catch (const std::exception& error) {
    return fprintf(stderr, "reader: %s\n", error.what()), 1;
  }
}
