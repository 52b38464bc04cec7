// A real OpenID provider for tests, on loopback: client credentials become access tokens.
//   node provider.mjs PORT KEYS.json      KEYS.json: the private signing keys (JWK set), the first one signs
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const [port, keys] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const secret = 'a-secret-that-is-only-for-tests';
const client = (id, role, more = {}) => ({
  client_id: id,
  client_secret: secret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  role,
  ...more,
});

const provider = new Provider(issuer, {
  clients: [
    client('dora', 'doctor'),
    client('nina', 'nurse'),
    client('bound', 'doctor', { dpop_bound_access_tokens: true }),
    client('chaperone', 'none'),
  ],
  cookies: { keys: [secret] },
  jwks: JSON.parse(readFileSync(keys)),
  extraClientMetadata: { properties: ['role'] },
  extraTokenClaims: (ctx, token) => ({ role: ctx.oidc.client.role, token_kind: token.kind }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'ehr',
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
      }),
    },
  },
});

provider.use((ctx, next) => {
  console.log(`${ctx.method} ${ctx.path}`);
  return next();
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
