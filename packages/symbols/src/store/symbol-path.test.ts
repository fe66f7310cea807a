import { describe, expect, it } from 'vitest';
import { MICROSOFT_SYMBOL_SERVER as MS, parseSymbolPath } from './symbol-path.ts';

const parse = (text: string) => parseSymbolPath(text, { cache: '/default' });
const store = (location: string, ...caches: string[]) => ({
  kind: 'store',
  location,
  isUrl: location.startsWith('http'),
  caches,
});
const dir = (path: string) => ({ kind: 'directory', path });

describe('parseSymbolPath', () => {
  it.each([
    ['', []],
    [' ; ;', []],
    ['C:\\sym', [dir('C:\\sym')]],
    ['/a;"/b c" ; /d', [dir('/a'), dir('/b c'), dir('/d')]],
    ['srv*', [store(MS, '/default')]],
    ['SRV*/tree', [store('/tree')]],
    ['srv*https://x.example/sym/', [store('https://x.example/sym', '/default')]],
    ['srv*/c*https://x.example', [store('https://x.example', '/c')]],
    ['srv**https://x.example', [store('https://x.example', '/default')]],
    ['srv*/c*', [store(MS, '/c')]],
    ['srv*/c*\\\\server\\share*https://x.example', [store('https://x.example', '/c', '\\\\server\\share')]],
    ['symsrv*symsrv.dll*/c*https://x.example', [store('https://x.example', '/c')]],
    ['https://x.example/s', [store('https://x.example/s', '/default')]],
    ['cache*', [store('/default')]],
    ['/a;cache*/k;srv*https://x.example;/b', [dir('/a'), store('/k'), store('https://x.example', '/k'), dir('/b')]],
    ['cache*/k;srv*/c*https://x.example', [store('/k'), store('https://x.example', '/k', '/c')]],
    [
      'srv*/c*https://one.example*https://two.example',
      [store('https://one.example', '/c'), store('https://two.example', '/c')],
    ],
    [
      'srv*/c*https://one.example;srv*/d*https://two.example',
      [store('https://one.example', '/c'), store('https://two.example', '/d')],
    ],
  ])('%s', (text, elements) => {
    const path = parse(text);
    expect(path.elements).toEqual(elements);
    expect(path.problems).toEqual([]);
  });

  it.each([
    ['foo*bar', /begins with none/],
    ['cache*https://x.example', /a cache is a folder/],
    ['symsrv*other.dll*/c*https://x.example', /other.dll is taken as symsrv.dll/],
    ['symsrv*symsrv.dll', /names no store/],
    ['srv;/a', /"srv" without an asterisk/],
    ['cache*/a*/b', /more than one cache/],
  ])('says what it does not understand: %s', (text, problem) => {
    expect(parse(text).problems).toEqual([expect.stringMatching(problem)]);
  });
});
