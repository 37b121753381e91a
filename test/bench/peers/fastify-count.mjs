// Fastify and better-sqlite3 with nothing on them: how many migrations the table has.
import Sqlite from 'better-sqlite3'
import Fastify from 'fastify'

const db = new Sqlite(process.argv[2], { readonly: true })
const count = db.prepare('SELECT count(*) AS applied FROM migrations')
const app = Fastify()
app.get('/count', async () => count.get())
console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: 0 })}`)
