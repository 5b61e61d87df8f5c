// Plain proxying with the npm package http-proxy, as its README shows it, with a keep-alive agent.
const http = require('http');
const httpProxy = require('http-proxy');

const agent = new http.Agent({keepAlive: true, maxSockets: 1024, maxFreeSockets: 1024});
const proxy = httpProxy.createProxyServer({target: 'http://127.0.0.1:@UPSTREAM_PORT@', agent: agent});
proxy.on('error', (error, request, response) => {
  if (response.writeHead && !response.headersSent) response.writeHead(502);
  response.end();
});
const server = http.createServer((request, response) => proxy.web(request, response));
server.keepAliveTimeout = 3600 * 1000;
server.listen(@PORT@, '127.0.0.1', 4096);
