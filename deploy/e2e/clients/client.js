// client.js PORT: as client.py, with Node's keep-alive agent.
const http = require('http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n').map(l => l.split(' '));
(async () => {
  for (const [method, path, size] of lines) {
    await new Promise((done, fail) => {
      const headers = Number(size) ? { 'Content-Length': size } : {};
      const req = http.request({ host: '127.0.0.1', port: Number(process.argv[2]), agent, method, path, headers }, res => { res.resume(); res.on('end', done); });
      req.on('error', fail);
      req.end('b'.repeat(Number(size)));
    });
  }
  agent.destroy();
})();
