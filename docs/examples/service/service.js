// The service of service.py in Node.js, without a package. Start it with: PORT=9000 node service.js
const { createHash } = require('node:crypto');
const { createServer } = require('node:http');

const WHO = { service: 'meters', version: '1' }; // change the version whenever results may change
const ROWS = { type: 'integer', minimum: 1, maximum: 1000, default: 24 };
const MEASURE = { name: 'measure', version: '1', parameters: { properties: { rows: ROWS } }, writes: ['measured.csv'] };
const files = new Map();
const tasks = new Map();

function measure(inputs, params) {
  const hours = [...Array(params.rows ?? ROWS.default).keys()];
  return { 'measured.csv': 'hour,energy_kwh\n' + hours.map((hour) => `${hour},${(0.2 + (hour % 24) / 100).toFixed(2)}\n`).join('') };
}

const checksumOf = (content) => createHash('sha256').update(content).digest('hex');
const refuse = (message, status = 400) => [status, { kind: 'bad_input', message }];

function keep(content) {
  files.set(checksumOf(content), content);
  return checksumOf(content);
}

function run(task, asked) {
  try {
    const inputs = Object.fromEntries(asked.inputs.map((file) => [file.path, files.get(file.sha256)]));
    task.outputs = Object.entries(measure(inputs, asked.parameters)).map(([path, text]) => {
      const content = Buffer.from(text);
      const sha256 = keep(content);
      return { protocol: 'http', path, format: path.split('.').pop(), bytes: content.length, sha256, uri: `/data/${sha256}` };
    });
    task.state = 'complete';
  } catch (error) {
    Object.assign(task, { state: 'failed', error: { kind: 'error', message: String(error) } });
  }
}

function execute(asked) {
  if (asked.operation !== MEASURE.name || asked.version !== MEASURE.version) return refuse('only version 1 of measure is offered');
  let task = tasks.get(asked.task);
  if (!task || (['failed', 'cancelled'].includes(task.state) && task.attempt < asked.attempt)) {
    task = { ...WHO, task: asked.task, operation: asked.operation, keys: asked.keys, attempt: asked.attempt, state: 'running' };
    tasks.set(asked.task, task);
    setImmediate(run, task, asked);
  }
  return [200, task];
}

function answer(method, path, body) {
  const [, area, action, id] = path.match(/^\/(\w+)(?:\/(\w+))?(?:\/(\w+))?$/) ?? [];
  if (area === 'health') {
    const running = [...tasks.values()].filter((task) => task.state === 'running').length;
    return [200, { status: 'healthy', ...WHO, operations: [MEASURE], running, capacity: 1 }];
  }
  if (area === 'data' && method === 'PUT') {
    if (checksumOf(body) !== action) return refuse('the content has another SHA-256');
    keep(body);
    return [201, ''];
  }
  if (area === 'data') return files.has(action) ? [200, files.get(action)] : refuse('no such file', 404);
  if (action === 'execute') return execute(JSON.parse(body));
  return tasks.has(id) ? [200, tasks.get(id)] : refuse('no such task', 404); // status, output and cancel
}

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const [status, said] = answer(request.method, request.url, Buffer.concat(parts));
    const isJson = !(typeof said === 'string' || Buffer.isBuffer(said));
    response.writeHead(status, { 'Content-Type': isJson ? 'application/json' : 'application/octet-stream' });
    response.end(isJson ? JSON.stringify(said) : said);
  });
});
server.listen(Number(process.env.PORT ?? 9000), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
