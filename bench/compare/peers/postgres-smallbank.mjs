/** SmallBank in PostgreSQL: a function for each transaction. */
import { ask, connectionsPlay, insertRows, startServer } from './postgres-server.mjs'

const definitions = `
  CREATE TABLE account (id integer PRIMARY KEY, name text NOT NULL);
  CREATE TABLE savings (id integer PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
  CREATE TABLE checking (id integer PRIMARY KEY, balance bigint NOT NULL);

  CREATE FUNCTION must_exist(who integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    PERFORM 1 FROM account WHERE id = who;
    IF NOT FOUND THEN RAISE EXCEPTION 'there is no customer %', who; END IF;
  END $$;

  CREATE FUNCTION bank_balance(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE
    sum bigint;
  BEGIN
    SELECT s.balance + c.balance INTO STRICT sum FROM account a
      JOIN savings s ON s.id = a.id JOIN checking c ON c.id = a.id WHERE a.id = who;
    RETURN sum;
  END $$;

  CREATE FUNCTION bank_deposit(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
    PERFORM must_exist(who);
    UPDATE checking SET balance = balance + cents WHERE id = who;
    RETURN 1;
  END $$;

  CREATE FUNCTION bank_transact(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE
    saved bigint;
  BEGIN
    PERFORM must_exist(who);
    SELECT balance INTO STRICT saved FROM savings WHERE id = who;
    IF saved + cents < 0 THEN RETURN 0; END IF;
    UPDATE savings SET balance = saved + cents WHERE id = who;
    RETURN 1;
  END $$;

  CREATE FUNCTION bank_amalgamate(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE
    saved bigint;
    checked bigint;
  BEGIN
    PERFORM must_exist(who);
    PERFORM must_exist(other);
    SELECT balance INTO STRICT saved FROM savings WHERE id = who;
    SELECT balance INTO STRICT checked FROM checking WHERE id = who;
    UPDATE savings SET balance = 0 WHERE id = who;
    UPDATE checking SET balance = 0 WHERE id = who;
    UPDATE checking SET balance = balance + saved + checked WHERE id = other;
    RETURN saved + checked;
  END $$;

  CREATE FUNCTION bank_writecheck(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE
    saved bigint;
    checked bigint;
  BEGIN
    PERFORM must_exist(who);
    SELECT balance INTO STRICT saved FROM savings WHERE id = who;
    SELECT balance INTO STRICT checked FROM checking WHERE id = who;
    IF saved + checked >= cents THEN
      UPDATE checking SET balance = checked - cents WHERE id = who;
      RETURN 1;
    END IF;
    UPDATE checking SET balance = checked - cents - 1 WHERE id = who;
    RETURN 2;
  END $$;

  CREATE FUNCTION bank_sendpayment(who integer, other integer, cents integer) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE
    checked bigint;
  BEGIN
    PERFORM must_exist(who);
    PERFORM must_exist(other);
    SELECT balance INTO STRICT checked FROM checking WHERE id = who;
    IF checked < cents THEN RETURN 0; END IF;
    UPDATE checking SET balance = checked - cents WHERE id = who;
    UPDATE checking SET balance = balance + cents WHERE id = other;
    RETURN 1;
  END $$;
`

export async function smallBankCustomers({ plan, data, directory, options }) {
  const { SmallBankWitness, smallBankKinds, customerRow } = data.smallBank
  const server = await startServer(directory, options.connections ?? 16)
  const { clients } = server
  const [client] = clients
  await client.query(definitions)
  const customers = Array.from({ length: plan.customers }, (_, id) => customerRow(id))
  await insertRows(client, 'account', { id: 'integer', name: 'text' }, customers)
  for (const table of ['savings', 'checking']) {
    const rows = customers.map((customer) => ({ id: customer.id, balance: customer[table] }))
    await insertRows(client, table, { id: 'integer', balance: 'bigint' }, rows)
  }
  await client.query('VACUUM ANALYZE')

  const statements = smallBankKinds.map((kind) =>
    ({ name: kind, text: `SELECT bank_${kind.toLowerCase()}($1, $2, $3)`, rowMode: 'array' }))
  const witness = new SmallBankWitness(plan)
  return {
    play: connectionsPlay(clients, async (on, index) => {
      const values = [plan.customer[index], plan.other[index], plan.amount[index]]
      const { rows: [[answer]] } = await ask(on, statements[plan.kind[index]], values)
      witness.answered(index, Number(answer))
    }),
    async digest() {
      const text = 'SELECT s.id, s.balance AS saved, c.balance AS checked FROM savings s JOIN checking c ON c.id = s.id'
      const { rows } = await client.query(text)
      for (const { id, saved, checked } of rows) witness.customer(id, Number(saved), Number(checked))
      return witness.digest()
    },
    close: () => server.kill(),
  }
}
