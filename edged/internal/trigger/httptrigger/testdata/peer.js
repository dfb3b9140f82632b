// A plain Node server on a Unix socket. For every connection it prints how many messages its parser has begun and the
// code of the parser's error, if any.
const http = require('http');
const server = http.createServer((req, res) => {
  req.socket.messages++;
  req.on('data', () => {});
  req.on('end', () => res.end());
});
server.on('connection', (socket) => {
  socket.messages = 0;
  socket.code = '';
  socket.on('close', () => console.log(JSON.stringify({ messages: socket.messages, code: socket.code })));
});
server.on('checkExpectation', (req, res) => {
  req.socket.code = 'EXPECTATION';
  res.writeHead(417, { connection: 'close' });
  res.end();
});
server.on('clientError', (err, socket) => {
  socket.code = err.code || 'UNKNOWN';
  socket.destroy();
});
server.listen(process.argv[2], () => console.log('ready'));
process.stdin.on('end', () => process.exit(0)).resume();
