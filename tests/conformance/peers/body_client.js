// Fetches, uploads and downloads with undici: BASE FILE PROTOCOL CA. Says as JSON what came.
const crypto = require('crypto');
const fs = require('fs');
const tls = require('tls');
const { Agent, request } = require('undici');

async function main(base, file, protocol, ca) {
  const found = { protocol: 'HTTP/1.1' };
  const dispatcher = new Agent({
    allowH2: protocol === 'h2',
    connect: (options, callback) => {
      // The connection itself, to see which protocol was chosen.
      const port = Number(options.port);
      const socket = options.protocol === 'https:'
        ? tls.connect({ host: options.hostname, port, servername: 'localhost', ca: fs.readFileSync(ca),
          ALPNProtocols: protocol === 'h2' ? ['h2', 'http/1.1'] : ['http/1.1'] })
        : require('net').connect({ host: options.hostname, port });
      socket.once(options.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        found.protocol = socket.alpnProtocol || 'HTTP/1.1';
        callback(null, socket);
      });
      socket.once('error', callback);
    },
  });
  found.fetch = await (await request(`${base}/hello`, { dispatcher })).body.text();
  found.upload = await (await request(`${base}/upload`, { dispatcher, method: 'POST', body: fs.createReadStream(file) })).body.text();
  const digest = crypto.createHash('sha256');
  for await (const piece of (await request(`${base}/download`, { dispatcher })).body) digest.update(piece);
  found.download = digest.digest('hex');
  console.log(JSON.stringify(found));
  process.exit(0);
}

main(...process.argv.slice(2)).catch((error) => { console.error(error); process.exit(1); });
