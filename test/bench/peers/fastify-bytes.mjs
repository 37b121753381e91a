// Fastify with nothing on it: the bytes of a file that it read when it started, and a greeting.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'

const bytes = readFileSync(process.argv[2])
const app = Fastify()
app.get('/bytes', (_, reply) => reply.type('application/json; charset=utf-8').send(bytes))
app.get('/hello', async () => ({ hello: 'world' }))
console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: 0 })}`)
