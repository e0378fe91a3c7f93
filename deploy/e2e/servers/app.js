// The test API on Node.js: app.js PORT LOG. Log and routes as in app.py.
const http = require('http'), fs = require('fs');
const [port, log] = [Number(process.argv[2]), fs.openSync(process.argv[3], 'a')];
function answer(method, path, body) {
  const route = path.split('?')[0];
  if (route.startsWith('/items/')) {
    const id = route.slice('/items/'.length);
    return method === 'DELETE' ? [204, ''] : [200, JSON.stringify({ id, name: 'lamp', tags: Array(id.length * 5).fill('a') })];
  }
  if (route === '/items' && method === 'POST') return [201, `{"stored":${body}}`];
  if (route.startsWith('/upload/')) return [200, `{"stored":${body}}`];
  if (route === '/big') return [200, 'x'.repeat(262144)];
  if (route === '/stream') return [200, Array(16).fill('y'.repeat(4096))];
  if (route === '/slow') return [200, 'late', 300];
  return [404, 'no such thing'];
}
http.createServer((req, res) => {
  let body = 0;
  req.on('data', d => { body += d.length; });
  req.on('end', () => {
    const [status, out, wait] = answer(req.method, req.url, body);
    const reply = () => {
      let sent = 0;
      res.on('finish', () => fs.writeSync(log, JSON.stringify({ m: req.method, p: req.url, s: status, q: body, r: sent }) + '\n'));
      if (Array.isArray(out)) {
        res.writeHead(status);
        for (const piece of out) { res.write(piece); sent += piece.length; }
        res.end();
      } else {
        res.writeHead(status, status === 204 ? {} : { 'Content-Length': out.length });
        sent = req.method === 'HEAD' ? 0 : out.length;
        res.end(req.method === 'HEAD' ? undefined : out);
      }
    };
    wait ? setTimeout(reply, wait) : reply();
  });
}).listen(port, '127.0.0.1', 2048, () => console.log('ready'));
