/**
 * PostgreSQL (postgres-server.mjs says how it is started): stored procedures, serializable, one statement to and fro for a transaction,
 * `connections` of them (16), each with one statement under way, as `pg` does it. A transaction that failed to serialize is asked again.
 */
import { eventsToOne } from './postgres-events.mjs'
import { ask, connectionsPlay, insertRows, startServer } from './postgres-server.mjs'
import { smallBankCustomers } from './postgres-smallbank.mjs'
import { tpccWarehouses } from './postgres-tpcc.mjs'
import { ycsbRows } from './postgres-ycsb.mjs'

async function transfers({ plan, data, directory, options }) {
  const server = await startServer(directory, options.connections ?? 16)
  const { clients } = server
  const [client] = clients
  await client.query(`
    CREATE TABLE account (id integer PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE ledger (
      id integer PRIMARY KEY, source integer NOT NULL, target integer NOT NULL, amount integer NOT NULL);
    CREATE FUNCTION transfer(number integer, payer integer, payee integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$
      DECLARE
        payer_balance bigint;
        payee_balance bigint;
      BEGIN
        SELECT balance INTO STRICT payer_balance FROM account WHERE id = payer;
        SELECT balance INTO STRICT payee_balance FROM account WHERE id = payee;
        IF payer_balance < cents THEN RAISE EXCEPTION 'transfer % is not possible', number; END IF;
        UPDATE account SET balance = payer_balance - cents WHERE id = payer;
        UPDATE account SET balance = payee_balance + cents WHERE id = payee;
        INSERT INTO ledger VALUES (number, payer, payee, cents);
        RETURN payer_balance - cents;
      END $$`)
  const types = { id: 'integer', owner: 'text', balance: 'bigint' }
  await insertRows(client, 'account', types, Array.from({ length: plan.accounts }, (_, id) => data.accountRow(id)))
  await client.query('VACUUM ANALYZE')

  const transfer = { name: 'transfer', text: 'SELECT transfer($1, $2, $3, $4)' }
  return {
    play: connectionsPlay(clients, (on, index) =>
      ask(on, transfer, [index, plan.from[index], plan.to[index], plan.amount[index]])),
    async digest() {
      const { rows } = await client.query('SELECT balance FROM account ORDER BY id')
      const { rows: [ledger] } = await client.query('SELECT count(*) FROM ledger')
      return data.bankDigest(Float64Array.from(rows, ({ balance }) => Number(balance)), Number(ledger.count))
    },
    close: () => server.kill(),
  }
}

export const contestants = { transfer: transfers, ycsb: ycsbRows, smallbank: smallBankCustomers, tpcc: tpccWarehouses, events: eventsToOne }
