// A provider of OpenID Connect that tests sign in at: node provider.mjs <where people are sent back to>.
// It prints its address once it listens. A login `ada+ops+staff` is ada, of the groups ops and staff.
import http from "node:http";
import Provider from "oidc-provider";

const server = http.createServer((request, response) => answer(request, response));
let answer = () => {};
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "paceline",
        client_secret: "a-secret-of-the-client",
        redirect_uris: [process.argv[2]],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    claims: { openid: ["sub", "groups"] },
    pkce: { required: () => true },
    cookies: { keys: ["only-for-tests"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id.split("+")[0], groups: id.split("+").slice(1) }),
    }),
  });
  answer = provider.callback();
  console.log(issuer);
});
