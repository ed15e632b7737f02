// A whole receiver, to be read beside docs/receivers.md and to be copied.
//
//   npm ci --ignore-scripts
//   RIPOSTE_URL=https://riposte.example.com RECEIVER_URL=https://example.com/hook node receiver.mjs
//
// RECEIVER_URL    this receiver's URL, as the webhook has it
// RIPOSTE_URL     the server's public URL: its JWT is checked
// RIPOSTE_ISSUER  its --issuer, where that isn't its host name
// WEBHOOK_SECRET  whsec_…: the webhook-signature is checked, too
// LISTEN          host:port, 127.0.0.1:9000 when it isn't set
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { Unavailable, Verifier } from './verify.mjs'

const { RECEIVER_URL, RIPOSTE_URL, RIPOSTE_ISSUER, WEBHOOK_SECRET, LISTEN = '127.0.0.1:9000' } = process.env
const maxBody = 2 << 20 // bytes; a payload has up to 1 MiB

const verifier = new Verifier({
  riposteURL: RIPOSTE_URL,
  issuer: RIPOSTE_ISSUER || (RIPOSTE_URL && new URL(RIPOSTE_URL).hostname),
  receiverURL: RECEIVER_URL,
  secret: WEBHOOK_SECRET,
})

// What each question was answered, or will be, by Webhook-Id. It stands for a table
// of your database: what is done belongs into the transaction that notes its answer.
const answers = new Map()

async function handle(request, response) {
  if (request.method !== 'POST') return response.writeHead(405, { Allow: 'POST' }).end()
  const body = await read(request)
  if (!body) return response.writeHead(413, { Connection: 'close' }).end()
  try {
    await verifier.verify(request.headers, body)
  } catch (err) {
    console.log('refused:', err.message) // for us; the other side isn't told why
    return response.writeHead(err instanceof Unavailable ? 503 : 401).end()
  }
  const delivery = JSON.parse(body)
  if (delivery.webhookId !== request.headers['webhook-id']) return response.writeHead(400).end()
  const { document, later } = actOnce(delivery)
  if (later) return response.writeHead(202).end()
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(document)
}

// read returns the body's bytes, or nothing when there are too many.
async function read(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > maxBody) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// actOnce does what is asked the first time, and gives the same answer each time.
function actOnce(delivery) {
  const known = answers.get(delivery.webhookId)
  if (known) return known
  const { later = false, ...decision } = decide(delivery)
  const answer = { document: JSON.stringify({ version: 'v1', ...decision }), later }
  answers.set(delivery.webhookId, answer)
  console.log(`acted on ${delivery.webhookId}: ${answer.document}`)
  if (later) callBack(delivery, answer.document)
  return answer
}

// decide approves small amounts at once. A person would look at the others, which
// takes longer than a request may, so they are answered by callback.
function decide({ event, payload }) {
  switch (event) {
    case 'c1.webhooks.v1.PayloadPolicyApprovalStep':
      if (payload.amount > 1000) return { deny: { comment: 'too much' }, later: true }
      return { approve: { comment: 'fine by me' } }
    case 'c1.webhooks.v1.PayloadProvisionStep':
      return { complete: {} }
    case 'c1.webhooks.v1.PayloadWorkflowStep':
      return { context: { manager: 'grace' } }
  }
  return {}
}

// callBack posts the document until the server has said something final. The
// callback URL is a secret, and is not logged.
async function callBack({ webhookId, callbackUrl }, document) {
  for (let wait = 1000; ; wait = Math.min(2 * wait, 60_000)) {
    try {
      const said = await fetch(callbackUrl, {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: document,
        redirect: 'manual', signal: AbortSignal.timeout(15_000),
      })
      if (said.status === 200) return console.log(`called back for ${webhookId}`)
      if (said.status < 500 && said.status !== 429) {
        return console.log(`called back for ${webhookId} in vain: ${await said.text()}`)
      }
    } catch {
      // No reply: it may have counted. The same document again does no harm.
    }
    await pause(wait)
  }
}

const server = createServer((request, response) => {
  handle(request, response).catch((err) => {
    console.log('failed:', err.message)
    response.destroy()
  })
})
const [host, port] = LISTEN.split(':')
server.listen(port, host, () => console.log(`listening on ${host}:${server.address().port}`))
