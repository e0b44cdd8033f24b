// A small real application: users, escrows and messages over HTTP and JSON, a chat over WebSocket (RFC 6455, done by
// hand), everything in PostgreSQL. BROKEN names what a test wants it to do wrongly.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const { default: pg } = await import(createRequire(`${process.env.PACKAGES}/`).resolve('pg'))
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 })
// The server of a test goes away without asking.
pool.on('error', () => {})
const broken = new Set((process.env.BROKEN ?? '').split(' '))

class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** It was done, and nobody hears of it. */
class Lost extends Error {}

async function row(sql, ...values) {
  const { rows } = await pool.query(sql, values)
  if (rows.length === 0) throw new Refused(404, 'there is none')
  return rows[0]
}

const user = (id) => row('SELECT id, email, wallet_address, kyc_status FROM users WHERE id = $1', id)
const escrow = (id) =>
  row(
    `SELECT e.id, e.buyer_id, e.seller_id, e.amount, e.status,
            coalesce((SELECT sum(p.amount) FROM payouts p WHERE p.escrow_id = e.id), 0) AS paid
     FROM escrows e WHERE e.id = $1`,
    id
  )

/** One step of an escrow's life, once. */
async function advance(id, from, to) {
  const { rowCount } = await pool.query('UPDATE escrows SET status = $3 WHERE id = $1 AND status = ANY ($2)', [id, from, to])
  if (rowCount === 0) throw new Refused(409, `it is not ${from.join(' or ')}`)
}

const routes = [
  ['GET', '/health', async () => {
    await pool.query('SELECT 1')
    if (broken.has('health')) throw new Error('the cache is lost')
    return [200, { status: 'healthy', services: { database: { status: 'connected' } } }]
  }],
  ['POST', '/users', async (_, { email, wallet_address }) => {
    const made = await row('INSERT INTO users (email, wallet_address) VALUES ($1, $2) RETURNING id', email, wallet_address)
    return [broken.has('created') ? 200 : 201, await user(made.id)]
  }],
  ['GET', '/users/:', async (id) => [200, await user(id)]],
  ['PATCH', '/users/:', async (id, { wallet_address }) => {
    if (broken.has('profile')) return [200, { ...(await user(id)), wallet_address }]
    await pool.query('UPDATE users SET wallet_address = $2 WHERE id = $1', [id, wallet_address])
    return [200, await user(id)]
  }],
  ['GET', '/users/:/notifications', async (id) => {
    const { rows } = await pool.query('SELECT kind, escrow_id FROM notifications WHERE user_id = $1 ORDER BY id', [id])
    return [200, rows]
  }],
  ['POST', '/escrows', async (_, { buyer_id, seller_id, amount }) => {
    const made = await row(
      'INSERT INTO escrows (buyer_id, seller_id, amount) VALUES ($1, $2, $3) RETURNING id', buyer_id, seller_id, amount)
    if (!broken.has('notifications')) await notify(seller_id, 'escrow_created', made.id)
    if (broken.delete('answer')) throw new Lost()
    return [broken.has('escrow') ? 200 : 201, await escrow(made.id)]
  }],
  ['GET', '/escrows/:', async (id) => [200, await escrow(id)]],
  ['POST', '/escrows/:/work', async (id) => {
    await advance(id, ['CREATED', 'ACTIVE'], 'SUBMITTED')
    return [200, await escrow(id)]
  }],
  ['POST', '/escrows/:/release', async (id) => {
    await advance(id, ['SUBMITTED'], 'RELEASED')
    const times = broken.has('release') ? 2 : 1
    await pool.query('INSERT INTO payouts (escrow_id, amount) SELECT id, amount * $2 FROM escrows WHERE id = $1', [id, times])
    return [200, await escrow(id)]
  }],
]

async function notify(to, kind, id) {
  await pool.query('INSERT INTO notifications (user_id, kind, escrow_id) VALUES ($1, $2, $3)', [to, kind, id])
}

async function answer(request) {
  const path = new URL(request.url, 'http://app').pathname
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {}
  for (const [method, pattern, act] of routes) {
    const found = new RegExp(`^${pattern.replace(':', '([0-9]+)')}$`).exec(path)
    if (found && method === request.method) return await act(found[1], body)
  }
  throw new Refused(404, 'no such page')
}

const server = createServer(async (request, response) => {
  const say = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  try {
    say(...(await answer(request)))
  } catch (error) {
    if (error instanceof Lost) return response.destroy()
    say(error.status ?? 500, { status: 'unhealthy', error: error.message })
  }
})

// The chat: who takes part in an escrow hears what is said there.
const listeners = new Set()

function frame(opcode, payload) {
  const length = payload.length
  const head =
    length < 126 ? Buffer.from([0x80 | opcode, length]) : Buffer.from([0x80 | opcode, 126, length >> 8, length & 255])
  return Buffer.concat([head, payload])
}

/** The first whole frame of what came, and the rest; a client masks what it sends. */
function unframe(bytes) {
  if (bytes.length < 2) return null
  let length = bytes[1] & 127
  let at = 2
  if (length === 127) throw new Error('too long')
  if (length === 126) {
    if (bytes.length < 4) return null
    length = bytes.readUInt16BE(2)
    at = 4
  }
  if (!(bytes[1] & 128)) throw new Error('not masked')
  if (bytes.length < at + 4 + length) return null
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length)).map((byte, i) => byte ^ mask[i & 3])
  return { opcode: bytes[0] & 15, payload, rest: bytes.subarray(at + 4 + length) }
}

async function heard(from, text) {
  const { body } = JSON.parse(text)
  if (!broken.has('chat_stored')) {
    await pool.query('INSERT INTO messages (escrow_id, sender_id, body) VALUES ($1, $2, $3)', [from.escrow, from.user, body])
  }
  for (const one of listeners) {
    if (one.escrow !== from.escrow || (one === from) !== broken.has('chat_echo')) continue
    if (broken.has('chat')) continue
    one.socket.write(frame(1, Buffer.from(JSON.stringify({ sender_id: from.user, body }))))
  }
}

server.on('upgrade', async (request, socket) => {
  const address = new URL(request.url, 'http://app')
  const key = request.headers['sec-websocket-key']
  const one = { socket, user: Number(address.searchParams.get('user')), escrow: Number(address.searchParams.get('escrow')) }
  socket.on('error', () => listeners.delete(one))
  socket.on('close', () => listeners.delete(one))
  const { rowCount } = await pool
    .query('SELECT 1 FROM escrows WHERE id = $1 AND $2 IN (buyer_id, seller_id)', [one.escrow, one.user])
    .catch(() => ({ rowCount: 0 }))
  if (address.pathname !== '/chat' || !key || rowCount === 0) {
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
    return
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
  )
  listeners.add(one)
  let waiting = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    waiting = Buffer.concat([waiting, chunk])
    try {
      for (let found = unframe(waiting); found; found = unframe(waiting)) {
        waiting = found.rest
        if (found.opcode === 1) heard(one, found.payload.toString()).catch(() => socket.destroy())
        if (found.opcode === 8) socket.end(frame(8, found.payload))
        if (found.opcode === 9) socket.write(frame(10, found.payload))
      }
    } catch {
      socket.destroy()
    }
  })
})

server.listen(0, '127.0.0.1', () => console.log(server.address().port))
