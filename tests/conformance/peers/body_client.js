// Fetches, uploads and downloads with undici: BASE FILE. Says as JSON what came.
const crypto = require('crypto');
const fs = require('fs');
const { request } = require('undici');

async function main(base, file) {
  const found = {};
  found.fetch = await (await request(`${base}/hello`)).body.text();
  found.upload = await (await request(`${base}/upload`, { method: 'POST', body: fs.createReadStream(file) })).body.text();
  const digest = crypto.createHash('sha256');
  for await (const piece of (await request(`${base}/download`)).body) digest.update(piece);
  found.download = digest.digest('hex');
  console.log(JSON.stringify(found));
}

main(process.argv[2], process.argv[3]).catch((error) => { console.error(error); process.exit(1); });
