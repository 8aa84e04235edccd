/** YCSB on a `Map` of objects; scans go through a sorted array of the keys. A read copies its row, as one must that shares nothing. */
export function ycsbRows({ plan, data }) {
  const { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText, modifiedText } = data.ycsb
  const rows = new Map()
  const newRow = (key) => {
    const [field0, field1, field2, field3, field4, field5, field6, field7, field8, field9] = newFields(key)
    return { field0, field1, field2, field3, field4, field5, field6, field7, field8, field9 }
  }
  for (let number = 0; number < plan.rows; number += 1) rows.set(rowKey(number), newRow(rowKey(number)))
  const sorted = plan.workload === 'e' ? Array.from(rows.keys()).sort((a, b) => a - b) : undefined
  const placeOf = (key) => {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sorted[middle] < key) low = middle + 1
      else high = middle
    }
    return low
  }

  const witness = new YcsbWitness(plan)
  const operate = (index) => {
    const key = plan.key[index]
    const detail = plan.detail[index]
    switch (ycsbKinds[plan.kind[index]]) {
      case 'read': {
        const row = { ...rows.get(key) }
        return witness.sawRow(row.field0, row.field9)
      }
      case 'scan': {
        const start = placeOf(key)
        const seen = sorted.slice(start, start + detail).map((one) => ({ ...rows.get(one) }))
        return witness.sawRows(seen[0].field0, seen[0].field9, seen.length)
      }
      case 'update':
        rows.get(key)[fieldNames[detail]] = fieldText(key, detail, index + 1)
        return
      case 'insert':
        rows.set(key, newRow(key))
        if (sorted) sorted.splice(placeOf(key), 0, key)
        return
      case 'modify': {
        const row = rows.get(key)
        row[fieldNames[detail]] = modifiedText(row[fieldNames[detail]])
      }
    }
  }
  return {
    play(first, count) {
      witness.round(first, count)
      for (let index = first; index < first + count; index += 1) operate(index)
    },
    digest() {
      for (const [key, row] of rows) witness.row(key, Object.values(row))
      return witness.digest()
    },
    close() {},
  }
}
