import { createServer } from 'node:http'
import { client, lines } from './escrows.js'

const prisma = client()

const server = createServer(async (request, response) => {
  try {
    if (request.url === '/escrows') {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(await lines(prisma)))
      return
    }
    await prisma.user.count()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ status: 'healthy', services: { database: { status: 'connected' } } }))
  } catch (error) {
    response.statusCode = 503
    response.end(JSON.stringify({ status: 'unhealthy', error: String(error) }))
  }
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
