/**
 * Tarjan's algorithm without recursion: a chain of waits may be as long as there are threads. Gives the component number
 * of each vertex; a component's number is smaller than that of any that leads to it.
 */
export function stronglyConnected(count: number, targets: readonly (readonly number[] | undefined)[]): Int32Array {
  const component = new Int32Array(count).fill(-1);
  const order = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const position = new Int32Array(count);
  const onStack = new Uint8Array(count);
  const stack: number[] = [];
  const path: number[] = [];
  let visited = 0;
  let components = 0;
  for (let root = 0; root < count; root++) {
    if (order[root] !== -1) continue;
    path.push(root);
    while (path.length > 0) {
      const at = path[path.length - 1] as number;
      if (order[at] === -1) {
        order[at] = low[at] = visited++;
        onStack[at] = 1;
        stack.push(at);
      }
      const next = targets[at] ?? [];
      let deeper = false;
      while ((position[at] as number) < next.length) {
        const to = next[position[at] as number] as number;
        if (order[to] === -1) {
          path.push(to);
          deeper = true;
          break;
        }
        if (onStack[to] === 1) low[at] = Math.min(low[at] as number, low[to] as number);
        position[at] = (position[at] as number) + 1;
      }
      if (deeper) continue;
      path.pop();
      if (low[at] !== order[at]) continue;
      for (let member = stack.pop(); member !== undefined; member = stack.pop()) {
        onStack[member] = 0;
        component[member] = components;
        if (member === at) break;
      }
      components++;
    }
  }
  return component;
}
