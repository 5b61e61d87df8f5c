// Says in x-seen which target it saw; writes a line for each request to the file argv[3].
const fs = require('fs');
const http = require('http');
const log = fs.openSync(process.argv[3], 'a');
const server = http.createServer((request, response) => {
  fs.writeSync(log, `${request.method} ${request.url}\n`);
  let size = 0;
  request.on('data', (piece) => { size += piece.length; });
  request.on('end', () => {
    response.setHeader('x-seen', encodeURI(request.url));
    response.end(`${size}\n`);
  });
});
server.on('clientError', (error, socket) => {
  // The end of a request that was cut is not another one.
  if (!['ECONNRESET', 'HPE_INVALID_EOF_STATE'].includes(error.code)) fs.writeSync(log, `ERROR ${error.code}\n`);
  socket.destroy();
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), '127.0.0.1');
