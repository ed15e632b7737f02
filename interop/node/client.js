// Does with webhooks what the API offers. "c1" asks for its token as ConductorOne's
// TypeScript SDK does; the other ways are openid-client's.
import assert from "node:assert/strict";
import { importJWK, SignJWT } from "jose";
import * as oidc from "openid-client";

const { CLIENT_ID: id, CLIENT_SECRET: secret, SERVER: server, RECEIVER: receiver } = process.env;
const host = new URL(server).hostname;

// The SDK decodes with atob, which takes no base64url but this.
function privateKey() {
  const [scheme, domain, version, key] = secret.split(":");
  assert.deepEqual([scheme, domain, version], ["secret-token", "conductorone.com", "v1"]);
  return importJWK(JSON.parse(atob(key)), "EdDSA");
}

async function c1Token() {
  const now = Math.floor(Date.now() / 1000);
  const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg: "EdDSA", nonce })
    .setIssuer(id).setSubject(id).setAudience([host])
    .setExpirationTime(now + 120).setIssuedAt(now).setNotBefore(now - 120)
    .sign(await privateKey());
  const res = await fetch(`${server}/auth/v1/token`, {
    method: "POST",
    body: new URLSearchParams({
      client_id: id,
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion,
    }),
  });
  assert.equal(res.status, 200, await res.clone().text());
  return (await res.json()).access_token;
}

// The issuer is a bare host name here, which is what goes into aud.
async function standardToken(proof) {
  const config = new oidc.Configuration({ issuer: host, token_endpoint: `${server}/auth/v1/token` }, id, secret, proof);
  const token = await oidc.clientCredentialsGrant(config);
  assert.equal(token.expires_in, 600);
  return token.access_token;
}

// openid-client calls the algorithm Ed25519 (RFC 9864), C1's clients EdDSA.
function byOldName(header) {
  assert.equal(header.alg, "Ed25519");
  header.alg = "EdDSA";
}

const ways = {
  c1: c1Token,
  assertion: async () => standardToken(oidc.PrivateKeyJwt(await privateKey(), { [oidc.modifyAssertion]: byOldName })),
  header: () => standardToken(oidc.ClientSecretBasic(secret)),
  form: () => standardToken(oidc.ClientSecretPost(secret)),
};

const token = await ways[process.argv[2]]();

async function call(method, path, body, want = 200) {
  const res = await fetch(server + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, Accept: "application/json", "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await res.text();
  assert.equal(res.status, want, `${method} ${path}: ${text}`);
  assert.equal(res.headers.get("content-type"), "application/json");
  return JSON.parse(text);
}

// The SDK's schemas refuse what is null of these.
function check(webhook, displayName) {
  for (const field of ["id", "displayName", "url", "callbackTimeout", "createdAt", "updatedAt"]) {
    assert.equal(typeof webhook[field], "string", field);
  }
  assert.equal(webhook.displayName, displayName);
  return webhook;
}

const made = check((await call("POST", "/api/v1/webhooks", { displayName: "Approvals", url: `${receiver}/ok` })).webhook, "Approvals");
const path = `/api/v1/webhooks/${made.id}`;
assert.deepEqual((await call("GET", path)).webhook, made);
const list = await call("GET", "/api/v1/webhooks?page_size=10");
assert.deepEqual(list, { list: [made], nextPageToken: "" });
assert.deepEqual((await call("POST", "/api/v1/search/webhooks", { query: "approv" })).list, [made]);
// The SDK sends the whole object back, with its dates and without a mask.
check((await call("POST", path, { webhook: { ...made, displayName: "Renamed" } })).webhook, "Renamed");
const test = (await call("POST", `${path}/test`, {})).webhook;
assert.equal(test.webhookId, made.id);
await call("DELETE", path, {});
await call("GET", path, undefined, 404);
