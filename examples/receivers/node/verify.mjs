import { createHash } from 'node:crypto'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { Webhook } from 'standardwebhooks'

const leeway = 60 // seconds that the two clocks may be apart

// Unavailable: the sender may be right, but its keys can't be had now.
export class Unavailable extends Error {}

// Verifier checks that a request is a delivery of the server's to this receiver.
export class Verifier {
  #seen = new Map() // when each token that was taken expires, by its jti

  constructor({ riposteURL, issuer, receiverURL, secret }) {
    this.issuer = issuer
    this.audience = new URL(receiverURL).hostname
    this.url = receiverURL.split('?')[0]
    // The keys are kept for 10 minutes. For a kid that isn't among them they are
    // fetched again, but not for each of the kids that somebody makes up.
    this.keys = riposteURL && createRemoteJWKSet(new URL(riposteURL.replace(/\/$/, '') + '/auth/v1/jwks'), {
      cacheMaxAge: 600_000, cooldownDuration: 30_000, timeoutDuration: 5_000,
    })
    this.webhook = secret && new Webhook(secret)
    if (!this.keys && !this.webhook) throw new Error('nothing could be verified')
  }

  // verify throws when something is wrong. The body is a Buffer of the bytes as they
  // came, before any parsing.
  async verify(headers, body) {
    if (this.webhook) this.verifySignature(headers, body)
    if (this.keys) await this.verifyJWT(headers, body)
  }

  // verifyJWT checks the token, and that it is about this very request. The key
  // must be for the token's algorithm: with HS256 anybody could sign by the public key.
  async verifyJWT(headers, body) {
    const [scheme, token] = (headers.authorization ?? '').split(' ')
    if (scheme.toLowerCase() !== 'bearer' || !token) throw new Error('there is no bearer token')
    const { payload: claims } = await jwtVerify(token, this.keys, {
      algorithms: ['EdDSA', 'ES256', 'RS256'],
      typ: 'JWT',
      issuer: this.issuer,
      audience: this.audience,
      clockTolerance: leeway,
      requiredClaims: ['exp', 'nbf', 'jti'],
    }).catch(explain)
    const hash = createHash('sha256').update(body).digest('base64')
    if (claims.c1typ !== 'wh') throw new Error('c1typ is not that of a webhook')
    if (claims.htm !== 'POST') throw new Error('htm is not POST')
    if (claims.htu !== this.url) throw new Error('htu is another URL')
    if (claims.htb_s256 !== hash) throw new Error("htb_s256 is not the body's hash")
    if (headers['content-digest'] !== `sha-256=${hash}`) throw new Error("Content-Digest is not the body's hash")
    this.#takeOnce(claims)
  }

  #takeOnce({ jti, exp }) {
    const now = Date.now() / 1000
    for (const [id, until] of this.#seen) if (until < now) this.#seen.delete(id)
    if (this.#seen.has(jti)) throw new Error('this token was seen before: each attempt has its own')
    this.#seen.set(jti, exp + leeway)
  }

  // verifySignature checks the headers of Standard Webhooks: the signature, and that
  // webhook-timestamp is of the last five minutes.
  verifySignature(headers, body) {
    this.webhook.verify(body, headers)
  }
}

// explain tells keys that can't be had from a token that is wrong.
function explain(err) {
  const isWrong = err instanceof errors.JOSEError && !['ERR_JWKS_TIMEOUT', 'ERR_JOSE_GENERIC'].includes(err.code)
  throw isWrong ? err : new Unavailable(`the server's keys can't be had: ${err.message}`)
}
