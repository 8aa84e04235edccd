/** TPC-C in PostgreSQL: a function for each transaction. An item that does not exist ends NewOrder with an exception. */
import { ask, connectionsPlay, insertRows, startServer } from './postgres-server.mjs'

const districts = 10
const unusedItem = 'TC001'

const types = {
  item: { i: 'integer', image: 'integer', name: 'text', price: 'integer', data: 'text' },
  warehouse: {
    w: 'integer', name: 'text', street1: 'text', street2: 'text', city: 'text', state: 'text', zip: 'text', tax: 'integer',
    ytd: 'bigint',
  },
  district: {
    w: 'integer', d: 'integer', name: 'text', street1: 'text', street2: 'text', city: 'text', state: 'text', zip: 'text',
    tax: 'integer', ytd: 'bigint', nextorder: 'integer',
  },
  stock: {
    w: 'integer', i: 'integer', quantity: 'integer', ytd: 'bigint', ordercount: 'integer', remotecount: 'integer',
    dist1: 'text', dist2: 'text', dist3: 'text', dist4: 'text', dist5: 'text', dist6: 'text', dist7: 'text', dist8: 'text',
    dist9: 'text', dist10: 'text', data: 'text',
  },
  customer: {
    w: 'integer', d: 'integer', c: 'integer', first: 'text', middle: 'text', last: 'text', street1: 'text', street2: 'text',
    city: 'text', state: 'text', zip: 'text', phone: 'text', since: 'bigint', credit: 'text', creditlimit: 'bigint',
    discount: 'integer', balance: 'bigint', ytdpayment: 'bigint', paymentcount: 'integer', deliverycount: 'integer', data: 'text',
  },
  history: {
    cw: 'integer', cd: 'integer', c: 'integer', seq: 'integer', w: 'integer', d: 'integer', date: 'bigint', amount: 'integer',
    data: 'text',
  },
  orders: {
    w: 'integer', d: 'integer', o: 'integer', c: 'integer', entered: 'bigint', carrier: 'integer', linecount: 'integer',
    alllocal: 'boolean',
  },
  orderline: {
    w: 'integer', d: 'integer', o: 'integer', n: 'integer', item: 'integer', supplier: 'integer', delivered: 'bigint',
    quantity: 'integer', amount: 'integer', distinfo: 'text',
  },
  neworder: { w: 'integer', d: 'integer', o: 'integer' },
}
const keys = {
  item: 'i', warehouse: 'w', district: 'w, d', stock: 'w, i', customer: 'w, d, c', orders: 'w, d, o', orderline: 'w, d, o, n',
  neworder: 'w, d, o',
}

/** Rows that are updated often leave room on their page for the next version (fillfactor). */
const roomy = { warehouse: 10, district: 10, stock: 80, customer: 80 }

const functions = `
  CREATE FUNCTION tpcc_neworder(_w integer, _d integer, _c integer, items integer[], suppliers integer[], quantities integer[],
    OUT number integer, OUT total bigint, OUT brands text) LANGUAGE plpgsql AS $$
  DECLARE
    warehouse_tax integer; district_tax integer; customer_discount integer;
    price_now integer; item_data text; there integer; stock_data text; dist text; amount_now integer; sum bigint := 0;
    local boolean := true;
  BEGIN
    SELECT tax INTO STRICT warehouse_tax FROM warehouse WHERE w = _w;
    UPDATE district SET nextorder = nextorder + 1 WHERE w = _w AND d = _d RETURNING tax, nextorder - 1 INTO STRICT district_tax, number;
    SELECT discount INTO STRICT customer_discount FROM customer WHERE w = _w AND d = _d AND c = _c;
    FOR place IN 1 .. cardinality(items) LOOP local := local AND suppliers[place] = _w; END LOOP;
    INSERT INTO orders VALUES (_w, _d, number, _c, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL, cardinality(items), local);
    INSERT INTO neworder VALUES (_w, _d, number);
    brands := '';
    FOR place IN 1 .. cardinality(items) LOOP
      SELECT price, data INTO price_now, item_data FROM item WHERE i = items[place];
      IF NOT FOUND THEN RAISE EXCEPTION 'there is no item %', items[place] USING ERRCODE = '${unusedItem}'; END IF;
      SELECT quantity, data, CASE _d WHEN 1 THEN dist1 WHEN 2 THEN dist2 WHEN 3 THEN dist3 WHEN 4 THEN dist4 WHEN 5 THEN dist5
          WHEN 6 THEN dist6 WHEN 7 THEN dist7 WHEN 8 THEN dist8 WHEN 9 THEN dist9 ELSE dist10 END
        INTO STRICT there, stock_data, dist FROM stock WHERE w = suppliers[place] AND i = items[place];
      there := there - quantities[place];
      IF there < 10 THEN there := there + 91; END IF;
      UPDATE stock SET quantity = there, ytd = ytd + quantities[place], ordercount = ordercount + 1,
        remotecount = remotecount + (suppliers[place] <> _w)::integer WHERE w = suppliers[place] AND i = items[place];
      amount_now := quantities[place] * price_now;
      sum := sum + amount_now;
      brands := brands || CASE WHEN position('ORIGINAL' IN item_data) > 0 AND position('ORIGINAL' IN stock_data) > 0 THEN 'B' ELSE 'G' END;
      INSERT INTO orderline VALUES (_w, _d, number, place, items[place], suppliers[place], NULL, quantities[place], amount_now, dist);
    END LOOP;
    total := round(sum * ((10000 - customer_discount) / 10000.0) * (1 + (warehouse_tax + district_tax) / 10000.0));
  END $$;

  CREATE FUNCTION tpcc_customer(_w integer, _d integer, _c integer, _last text) RETURNS integer LANGUAGE plpgsql AS $$
  DECLARE
    numbers integer[];
  BEGIN
    IF _c IS NOT NULL THEN RETURN _c; END IF;
    SELECT array_agg(c ORDER BY first) INTO STRICT numbers FROM customer WHERE w = _w AND d = _d AND last = _last;
    RETURN numbers[(cardinality(numbers) + 1) / 2];
  END $$;

  CREATE FUNCTION tpcc_payment(_w integer, _d integer, _cw integer, _cd integer, _c integer, _last text, cents integer,
    OUT who integer, OUT balance_now bigint) LANGUAGE plpgsql AS $$
  DECLARE
    warehouse_name text; district_name text; payments integer;
  BEGIN
    UPDATE warehouse SET ytd = ytd + cents WHERE w = _w RETURNING name INTO STRICT warehouse_name;
    UPDATE district SET ytd = ytd + cents WHERE w = _w AND d = _d RETURNING name INTO STRICT district_name;
    who := tpcc_customer(_cw, _cd, _c, _last);
    UPDATE customer SET balance = balance - cents, ytdpayment = ytdpayment + cents, paymentcount = paymentcount + 1,
      data = CASE credit WHEN 'BC' THEN left(format('%s %s %s %s %s %s|', who, _cd, _cw, _d, _w, cents) || data, 500) ELSE data END
      WHERE w = _cw AND d = _cd AND c = who RETURNING balance, paymentcount INTO STRICT balance_now, payments;
    INSERT INTO history VALUES (_cw, _cd, who, payments, _w, _d, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, cents,
      warehouse_name || '    ' || district_name);
  END $$;

  CREATE FUNCTION tpcc_orderstatus(_w integer, _d integer, _c integer, _last text,
    OUT who integer, OUT balance_now bigint, OUT number integer, OUT entered_at bigint, OUT carried integer, OUT lines json)
    LANGUAGE plpgsql AS $$ BEGIN
    who := tpcc_customer(_w, _d, _c, _last);
    SELECT balance INTO STRICT balance_now FROM customer WHERE w = _w AND d = _d AND c = who;
    SELECT o, entered, carrier INTO STRICT number, entered_at, carried FROM orders
      WHERE w = _w AND d = _d AND c = who ORDER BY o DESC LIMIT 1;
    SELECT json_agg(json_build_array(item, supplier, quantity, amount, delivered)) INTO lines FROM orderline
      WHERE w = _w AND d = _d AND o = number;
  END $$;

  CREATE FUNCTION tpcc_delivery(_w integer, _carrier integer) RETURNS integer[] LANGUAGE plpgsql AS $$
  DECLARE
    numbers integer[] := '{}'; number integer; orderer integer; sum bigint;
    now bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
  BEGIN
    FOR _d IN 1 .. ${districts} LOOP
      SELECT o INTO number FROM neworder WHERE w = _w AND d = _d ORDER BY o LIMIT 1;
      numbers := numbers || coalesce(number, 0);
      CONTINUE WHEN number IS NULL;
      DELETE FROM neworder WHERE w = _w AND d = _d AND o = number;
      UPDATE orders SET carrier = _carrier WHERE w = _w AND d = _d AND o = number RETURNING c INTO STRICT orderer;
      UPDATE orderline SET delivered = now WHERE w = _w AND d = _d AND o = number;
      SELECT sum(amount) INTO STRICT sum FROM orderline WHERE w = _w AND d = _d AND o = number;
      UPDATE customer SET balance = balance + sum, deliverycount = deliverycount + 1 WHERE w = _w AND d = _d AND c = orderer;
    END LOOP;
    RETURN numbers;
  END $$;

  CREATE FUNCTION tpcc_stocklevel(_w integer, _d integer, threshold integer) RETURNS bigint LANGUAGE plpgsql AS $$
  DECLARE
    next integer; low bigint;
  BEGIN
    SELECT nextorder INTO STRICT next FROM district WHERE w = _w AND d = _d;
    SELECT count(*) INTO STRICT low FROM (
        SELECT DISTINCT item FROM orderline WHERE w = _w AND d = _d AND o >= next - 20 AND o < next
      ) recent JOIN stock ON stock.w = _w AND stock.i = recent.item WHERE stock.quantity < threshold;
    RETURN low;
  END $$;
`

const statements = {
  newOrder: { name: 'newOrder', text: 'SELECT * FROM tpcc_neworder($1, $2, $3, $4, $5, $6)' },
  payment: { name: 'payment', text: 'SELECT * FROM tpcc_payment($1, $2, $3, $4, $5, $6, $7)' },
  orderStatus: { name: 'orderStatus', text: 'SELECT * FROM tpcc_orderstatus($1, $2, $3, $4)' },
  delivery: { name: 'delivery', text: 'SELECT tpcc_delivery($1, $2)' },
  stockLevel: { name: 'stockLevel', text: 'SELECT tpcc_stocklevel($1, $2, $3)' },
}
const values = {
  newOrder: ({ w, d, c, lines }) => [
    w, d, c, lines.map(({ item }) => item), lines.map(({ supplier }) => supplier), lines.map(({ quantity }) => quantity),
  ],
  payment: ({ w, d, cw, cd, c, last, amount }) => [w, d, cw, cd, c, last, amount],
  orderStatus: ({ w, d, c, last }) => [w, d, c, last],
  delivery: ({ w, carrier }) => [w, carrier],
  stockLevel: ({ w, d, threshold }) => [w, d, threshold],
}

export async function tpccWarehouses({ plan, data, directory, options }) {
  const { Population, tpccInput, tpccDigest, tallyOf } = data.tpcc
  const server = await startServer(directory, options.connections ?? 16)
  const { clients } = server
  const [client] = clients
  for (const [table, columns] of Object.entries(types)) {
    const list = Object.entries(columns).map(([name, type]) => `${name} ${type}`).join(', ')
    const key = keys[table] === undefined ? '' : `, PRIMARY KEY (${keys[table]})`
    await client.query(`CREATE TABLE ${table} (${list}${key}) WITH (fillfactor = ${roomy[table] ?? 100})`)
  }
  await client.query(functions)
  for (const [table, rows] of loads(new Population(plan))) await insertRows(client, table, types[table], folded(rows))
  await client.query('CREATE INDEX byname ON customer (w, d, last, first); CREATE INDEX bycustomer ON orders (w, d, c, o)')
  await client.query('VACUUM ANALYZE')

  const operate = async (on, index) => {
    const { kind, input } = tpccInput(plan, index)
    try {
      await ask(on, statements[kind], values[kind](input))
    } catch (error) {
      if (error.code !== unusedItem) throw error
    }
  }
  return {
    play: connectionsPlay(clients, operate),
    async digest() {
      const read = async (table, columns) => (await client.query(`SELECT ${columns} FROM ${table}`)).rows
      return tpccDigest(tallyOf({
        warehouse: await read('warehouse', 'w, ytd'),
        district: await read('district', 'w, d, ytd, nextorder AS "nextOrder"'),
        order: await read('orders', 'o'),
        newOrder: await read('neworder', 'o'),
        orderLine: await read('orderline', 'amount'),
        history: await read('history', 'amount'),
        stock: await read('stock', 'i, quantity, ytd, ordercount AS "orderCount", remotecount AS "remoteCount"'),
        customer: await read('customer',
          'c, ytdpayment AS "ytdPayment", paymentcount AS "paymentCount", deliverycount AS "deliveryCount"'),
      }))
    },
    close: () => server.kill(),
  }
}

/** Names of columns are in lower case there. */
function* folded(rows) {
  for (const row of rows) yield Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value]))
}

function* loads(population) {
  yield ['item', population.items()]
  for (let w = 1; w <= population.warehouses; w += 1) {
    yield ['warehouse', [population.warehouse(w)]]
    yield ['district', population.districts(w)]
    yield ['stock', population.stock(w)]
    for (let d = 1; d <= districts; d += 1) {
      yield ['customer', population.customers(w, d)]
      yield ['history', population.history(w, d)]
      const orders = [...population.orders(w, d)]
      yield ['orders', orders.map(({ order }) => order)]
      yield ['orderline', orders.flatMap(({ lines }) => lines)]
      yield ['neworder', population.newOrders(w, d)]
    }
  }
}
