import { CALLING_CONVENTIONS, OPERATORS, PRIMITIVES, QUALIFIERS, RTTI } from './undecorate-types.ts';

/** Text around a declarator: `void (__cdecl*` and `)(int)`. */
interface TypeText {
  readonly pre: string;
  readonly post: string;
}

const MAX_DEPTH = 64;
const MAX_TEXT = 8192;
const MAX_STEPS = 20_000;

class Unparseable extends Error {}

function fail(): never {
  throw new Unparseable('not a decorated name');
}

/**
 * Parser of one decorated C++ name. Bounded in depth, steps and output; back references cannot make the text grow
 * beyond MAX_TEXT.
 */
class Parser {
  readonly #s: string;
  #at = 0;
  #depth = 0;
  #steps = 0;
  #names: string[] = [];
  #types: TypeText[] = [];

  constructor(text: string) {
    this.#s = text;
  }

  get done(): boolean {
    return this.#at >= this.#s.length;
  }

  #peek(offset = 0): string {
    return this.#s.charAt(this.#at + offset);
  }

  #next(): string {
    if (this.#at >= this.#s.length || ++this.#steps > MAX_STEPS) fail();
    return this.#s.charAt(this.#at++);
  }

  #eat(text: string): boolean {
    if (!this.#s.startsWith(text, this.#at)) return false;
    if (++this.#steps > MAX_STEPS) fail();
    this.#at += text.length;
    return true;
  }

  #bounded(text: string): string {
    if (text.length > MAX_TEXT) fail();
    return text;
  }

  #nested<T>(body: () => T): T {
    if (++this.#depth > MAX_DEPTH) fail();
    const value = body();
    this.#depth--;
    return value;
  }

  #remember(name: string): void {
    if (this.#names.length < 10 && !this.#names.includes(name)) this.#names.push(name);
  }

  /** The qualified name of a symbol; its type is parsed when `encoding` is set or the name depends on it. */
  symbol(encoding: boolean): string {
    return this.#nested(() => {
      if (!this.#eat('?')) fail();
      if (this.#eat('$TSS')) return this.#threadSafeStatic();
      if (this.#s.startsWith('?_C@_', this.#at)) {
        this.#at = this.#s.length;
        return "`string'";
      }
      const special = this.#specialName();
      if (special !== null) {
        if (encoding) fail();
        return special;
      }
      const name = this.#unqualified();
      const scope = this.#scope();
      const last = scope[scope.length - 1] ?? '';
      let text = name.text;
      if (name.kind === 'constructor') text = last;
      else if (name.kind === 'destructor') text = `~${last}`;
      const prefix = scope.length === 0 ? '' : `${this.#bounded(scope.join('::'))}::`;
      if (name.kind === 'conversion') {
        const result = this.#encoding();
        if (result === null) fail();
        text = `operator ${result}`;
      } else if (encoding) this.#encoding();
      if (name.arguments !== undefined) text += name.arguments;
      return this.#bounded(prefix + text);
    });
  }

  /** `$TSS<n>@name`: the counter of a thread-safe static. */
  #threadSafeStatic(): string {
    let digits = '';
    while (!this.#eat('@')) digits += this.#next();
    const scope = this.#scope();
    return [...scope, `\`TSS${digits}'`].join('::');
  }

  /** Names whose own encoding holds another name or a type: RTTI type descriptors, dynamic initializers. */
  #specialName(): string | null {
    if (this.#eat('?_R0')) {
      this.#eat('?A'); // a class type carries its (absent) qualifiers
      const type = this.#type();
      return `${type.pre}${type.post} \`RTTI Type Descriptor'`;
    }
    const init = this.#eat('?__E') ? 'dynamic initializer' : this.#eat('?__F') ? 'dynamic atexit destructor' : null;
    if (init !== null) {
      // A static member is given as a whole symbol, anything else as a qualified name.
      const member = this.#eat('?');
      if (this.#peek() === '?' && !member) fail();
      const name = this.#qualifiedName();
      if (member) {
        this.#encoding();
        this.#eat('@');
        this.#eat('@');
      }
      return `\`${init} for '${name}''`;
    }
    return null;
  }

  /** Reads `A@B@@` (a name and its scope) as one text. */
  #qualifiedName(): string {
    const name = this.#unqualified();
    const scope = this.#scope();
    const last = scope[scope.length - 1] ?? '';
    const text = name.kind === 'constructor' ? last : name.kind === 'destructor' ? `~${last}` : name.text;
    return this.#bounded([...scope, `${text}${name.arguments ?? ''}`].join('::'));
  }

  #unqualified(): { kind: 'plain' | 'constructor' | 'destructor' | 'conversion'; text: string; arguments?: string } {
    const c = this.#peek();
    if (c >= '0' && c <= '9') return { kind: 'plain', text: this.#backReference() };
    if (this.#eat('?$')) {
      const template = this.#template();
      return { kind: template.kind, text: template.name, arguments: template.arguments };
    }
    if (this.#eat('?')) return this.#operator();
    const text = this.#identifier();
    this.#remember(text);
    return { kind: 'plain', text };
  }

  #operator(): { kind: 'plain' | 'constructor' | 'destructor' | 'conversion'; text: string } {
    if (this.#eat('0')) return { kind: 'constructor', text: '' };
    if (this.#eat('1')) return { kind: 'destructor', text: '' };
    if (this.#eat('B')) return { kind: 'conversion', text: '' };
    if (this.#eat('__K')) return { kind: 'plain', text: `operator ""${this.#identifier()}` };
    if (this.#eat('_P')) {
      const inner = this.#eat('?') ? this.#operator() : { kind: 'plain' as const, text: this.#identifier() };
      return { kind: 'plain', text: `\`udt returning'${inner.text}` };
    }
    if (this.#eat('_R')) {
      if (this.#eat('1')) {
        const parts = [this.#number(), this.#number(), this.#number(), this.#number()];
        return { kind: 'plain', text: `\`RTTI Base Class Descriptor at (${parts.join(',')})'` };
      }
      return { kind: 'plain', text: RTTI[this.#next()] ?? fail() };
    }
    let code = this.#next();
    if (code === '_') code += this.#next();
    if (code === '__') code += this.#next();
    return { kind: 'plain', text: OPERATORS[code] ?? fail() };
  }

  #identifier(): string {
    const end = this.#s.indexOf('@', this.#at);
    if (end <= this.#at) fail();
    const text = this.#s.slice(this.#at, end);
    this.#at = end + 1;
    if (++this.#steps > MAX_STEPS) fail();
    return this.#bounded(text);
  }

  #backReference(): string {
    return this.#names[this.#next().charCodeAt(0) - 48] ?? fail();
  }

  /** Scope from the outermost in, after the unqualified name; consumes the closing `@`. */
  #scope(): string[] {
    const parts: string[] = [];
    while (!this.#eat('@')) {
      if (parts.length > 128) fail();
      parts.push(this.#scopePiece());
    }
    return parts.reverse();
  }

  #scopePiece(): string {
    const c = this.#peek();
    if (c >= '0' && c <= '9') return this.#backReference();
    if (this.#eat('?$')) {
      const template = this.#template();
      const text = `${template.name}${template.arguments}`;
      this.#remember(text);
      return text;
    }
    if (this.#s.startsWith('?A', this.#at) && !this.#isLocalScope()) {
      this.#at += 2;
      const end = this.#s.indexOf('@', this.#at);
      if (end < 0) fail();
      this.#remember(this.#s.slice(this.#at - 2, end));
      const key = this.#names.length - 1;
      this.#at = end + 1;
      const text = "`anonymous namespace'";
      // Referred to by number it prints the same.
      if (this.#names[key]?.startsWith('?A') === true) this.#names[key] = text;
      return text;
    }
    if (this.#isLocalScope()) {
      this.#at++;
      const number = this.#number();
      if (!this.#eat('?')) fail();
      const inner = this.#nested(() => this.#localSymbol());
      return `\`${inner}'::\`${number}'`;
    }
    if (this.#eat('?I') || this.#eat('?Q')) return this.#identifier();
    const text = this.#identifier();
    this.#remember(text);
    return text;
  }

  /** A whole symbol inside a scope shares the back references of the outer name. */
  #localSymbol(): string {
    return this.symbol(true);
  }

  #isLocalScope(): boolean {
    if (this.#peek() !== '?') return false;
    let at = this.#at + 1;
    const c = this.#s.charAt(at);
    if (c >= '0' && c <= '9') return this.#s.charAt(at + 1) === '?';
    const start = at;
    while (this.#s.charAt(at) >= 'A' && this.#s.charAt(at) <= 'P' && at - start < 9) at++;
    return at > start && this.#s.charAt(at) === '@' && this.#s.charAt(at + 1) === '?';
  }

  /** `?$name@arguments@`, after the `?$`. Back references inside are its own. */
  #template(): { kind: 'plain' | 'constructor' | 'destructor' | 'conversion'; name: string; arguments: string } {
    return this.#nested(() => {
      const names = this.#names;
      const types = this.#types;
      this.#names = [];
      this.#types = [];
      const isOperator = this.#eat('?');
      const name = isOperator ? this.#operator() : { kind: 'plain' as const, text: this.#identifier() };
      if (!isOperator) this.#remember(name.text);
      const parts: string[] = [];
      while (!this.#eat('@')) {
        if (parts.length > 256) fail();
        const argument = this.#templateArgument();
        if (argument !== null) parts.push(argument);
      }
      this.#names = names;
      this.#types = types;
      const inner = parts.join(',');
      const text = this.#bounded(`<${inner}${inner.endsWith('>') ? ' ' : ''}>`);
      return { kind: name.kind, name: name.text, arguments: text };
    });
  }

  #templateArgument(): string | null {
    // Empty packs and pack separators print nothing.
    if (this.#eat('$S') || this.#eat('$$V') || this.#eat('$$$V') || this.#eat('$$Z')) return null;
    if (this.#eat('$$Y')) return this.#qualifiedName();
    if (this.#eat('$0')) return this.#number();
    if (this.#eat('$M')) {
      this.#type();
      return this.#templateValue();
    }
    if (this.#eat('$1') || this.#eat('$E')) {
      if (this.#eat('?')) {
        this.#at--;
        return `&${this.symbol(true)}`;
      }
      fail();
    }
    const member = ['$H', '$I', '$J', '$F', '$G'].find((code) => this.#s.startsWith(code, this.#at));
    if (member !== undefined) {
      this.#at += 2;
      const parts: string[] = [];
      if (member !== '$F' && member !== '$G') parts.push(this.symbol(true));
      const count = member === '$H' ? 1 : member === '$I' || member === '$F' ? 2 : 3;
      for (let i = 0; i < count; i++) parts.push(this.#number());
      return `{${parts.join(',')}}`;
    }
    if (this.#eat('$D') || this.#eat('$R')) return `\`template-parameter${this.#number()}'`;
    if (this.#eat('$Q')) return `\`non-type-template-parameter${this.#number()}'`;
    const type = this.#type();
    return this.#bounded(`${type.pre}${type.post}`);
  }

  /** The value after `$M type`: the code without its `$`. */
  #templateValue(): string {
    if (this.#eat('0')) return this.#number();
    if (this.#eat('1')) return `&${this.symbol(true)}`;
    return fail();
  }

  /** `[?]digit` is 1-10, `[?][A-P]*@` hexadecimal. */
  #number(): string {
    const sign = this.#eat('?') ? '-' : '';
    const c = this.#next();
    if (c >= '0' && c <= '9') return `${sign}${c.charCodeAt(0) - 47}`;
    let digits = '';
    for (let d = c; d !== '@'; d = this.#next()) {
      if (d < 'A' || d > 'P' || digits.length >= 16) fail();
      digits += (d.charCodeAt(0) - 65).toString(16);
    }
    return `${sign}${BigInt(`0x${digits === '' ? '0' : digits}`)}`;
  }

  #type(): TypeText {
    return this.#nested(() => this.#typeBody());
  }

  #typeBody(): TypeText {
    // A leading ?A..?D gives the qualifiers of a class returned or thrown by value.
    if (this.#peek() === '?') {
      this.#next();
      return this.#qualified(QUALIFIERS[this.#next()] ?? fail());
    }
    if (this.#eat('$$C')) return this.#qualified(QUALIFIERS[this.#next()] ?? fail());
    if (this.#eat('$$B')) return this.#type();
    if (this.#eat('$$T')) return { pre: 'std::nullptr_t', post: '' };
    if (this.#eat('$$A')) return this.#functionInArgument();
    if (this.#eat('$$Q')) return this.#pointer(' &&', '');
    if (this.#eat('$$R')) return this.#pointer(' &&', ' volatile');
    const c = this.#next();
    switch (c) {
      case 'A':
        return this.#pointer(' &', '');
      case 'B':
        return this.#pointer(' &', ' volatile');
      case 'P':
        return this.#pointer(' *', '');
      case 'Q':
        return this.#pointer(' *', ' const');
      case 'R':
        return this.#pointer(' *', ' volatile');
      case 'S':
        return this.#pointer(' *', ' const volatile');
      case 'T':
      case 'U':
      case 'V':
        return { pre: this.#typeName(), post: '' };
      case 'W':
        this.#next(); // the size of the enumeration
        return { pre: this.#typeName(), post: '' };
      case 'Y':
        return this.#array();
      case '_': {
        const code = this.#next();
        return { pre: PRIMITIVES[`_${code}`] ?? fail(), post: '' };
      }
      default:
        return { pre: PRIMITIVES[c] ?? fail(), post: '' };
    }
  }

  #qualified(qualifiers: string): TypeText {
    const type = this.#type();
    return { pre: this.#bounded(type.pre + qualifiers), post: type.post };
  }

  /** Name of a class, with scope; unlike a symbol's own name a template is remembered. */
  #typeName(): string {
    const c = this.#peek();
    let name: string;
    if (c >= '0' && c <= '9') name = this.#backReference();
    else if (this.#eat('?$')) {
      const template = this.#template();
      name = `${template.name}${template.arguments}`;
      this.#remember(name);
    } else {
      name = this.#identifier();
      this.#remember(name);
    }
    const scope = this.#scope();
    return this.#bounded([...scope, name].join('::'));
  }

  #extendedQualifiers(): void {
    while (this.#eat('E') || this.#eat('F') || this.#eat('I')) {
      // __ptr64, __unaligned, __restrict: not printed
    }
  }

  #pointer(sigil: string, qualifiers: string): TypeText {
    this.#extendedQualifiers();
    if (this.#eat('6')) return this.#functionType(`${sigil.trim()}${qualifiers}`, '', false);
    if (this.#eat('8')) {
      const owner = this.#typeName();
      return this.#functionType(`${owner}::${sigil.trim()}${qualifiers}`, '', true);
    }
    const code = this.#next();
    let target = QUALIFIERS[code] ?? fail();
    const owner = code >= 'Q' && code <= 'T' ? `${this.#typeName()}::` : '';
    const mark = owner === '' ? sigil : ` ${owner}${sigil.trim()}`;
    const array = this.#peek() === 'Y';
    const to = this.#type();
    // A pointer carries its own qualifiers twice when it is pointed to: `char * const &`.
    if (to.pre.endsWith(target)) target = '';
    if (array) {
      return {
        pre: this.#bounded(`${to.pre.trimEnd()}${target} (${mark.trim()}${qualifiers}`),
        post: this.#bounded(`)${to.post}`),
      };
    }
    return { pre: this.#bounded(`${to.pre}${target}${mark}${qualifiers}`), post: to.post };
  }

  #array(): TypeText {
    const dimensions = Number(this.#number());
    if (!(dimensions >= 1 && dimensions <= 16)) fail();
    let post = '';
    for (let i = 0; i < dimensions; i++) post += `[${this.#number()}]`;
    const qualifiers = this.#eat('$$C') ? (QUALIFIERS[this.#next()] ?? fail()) : '';
    const element = this.#type();
    // MSVC writes `char [3]`, `char (*)[3]`, and `char [0]` for an array without a bound.
    return { pre: `${element.pre}${qualifiers} `, post: this.#bounded(post + element.post) };
  }

  /** `$$A6…` and `$$A8@@…`: a function as template argument. */
  #functionInArgument(): TypeText {
    if (this.#eat('6')) return this.#functionType('', '', false);
    if (this.#eat('8@@')) return this.#functionType('', '', true);
    return fail();
  }

  #functionType(declarator: string, _suffix: string, member: boolean): TypeText {
    let suffix = '';
    if (member) suffix = this.#thisQualifiers();
    const convention = CALLING_CONVENTIONS[this.#next()] ?? fail();
    const result = this.#eat('@') ? { pre: '', post: '' } : this.#type();
    const parameters = this.#parameters();
    const pre = declarator === '' ? `${result.pre} ${convention}` : `${result.pre} (${convention}${spaced(declarator)}`;
    const post = `${declarator === '' ? '' : ')'}(${parameters})${suffix}${result.post}`;
    return { pre: this.#bounded(pre), post: this.#bounded(post) };
  }

  #thisQualifiers(): string {
    this.#extendedQualifiers();
    const reference = this.#eat('G') ? ' &' : this.#eat('H') ? ' &&' : '';
    this.#extendedQualifiers();
    return (QUALIFIERS[this.#next()] ?? fail()) + reference;
  }

  /** Parameter list with its throw specification. */
  #parameters(): string {
    if (this.#eat('X')) {
      this.#throwSpecification();
      return 'void';
    }
    const parts: string[] = [];
    let open = true;
    while (open) {
      if (parts.length > 256) fail();
      if (this.#eat('@')) break;
      if (this.#eat('Z')) {
        parts.push('...');
        open = false;
        break;
      }
      const c = this.#peek();
      if (c >= '0' && c <= '9') {
        const type = this.#types[this.#next().charCodeAt(0) - 48] ?? fail();
        parts.push(type.pre + type.post);
        continue;
      }
      const start = this.#at;
      const type = this.#type();
      if (this.#at - start > 1 && this.#types.length < 10) this.#types.push(type);
      parts.push(type.pre + type.post);
    }
    this.#throwSpecification();
    return this.#bounded(parts.join(','));
  }

  #throwSpecification(): void {
    if (!this.#eat('_E') && !this.#eat('Z')) fail();
  }

  /** What follows a symbol's name. Returns the result type of a function (for conversion operators), else null. */
  #encoding(): string | null {
    if (this.#eat('$$J0') || this.#eat('$$F') || this.#eat('$$H')) return this.#encoding();
    const c = this.#next();
    if (c >= '0' && c <= '4') {
      this.#type();
      this.#extendedQualifiers();
      const code = this.#next();
      if (QUALIFIERS[code] === undefined) fail();
      if (code >= 'Q' && code <= 'T') this.#typeName();
      return null;
    }
    if (c === '5') {
      // local static guard: its number, when there is one
      if (!this.done && this.#peek() !== '@') this.#number();
      return null;
    }
    if (c === '6' || c === '7') {
      this.#extendedQualifiers();
      if (QUALIFIERS[this.#next()] === undefined) fail();
      while (!this.done && !this.#eat('@')) this.#typeName();
      return null;
    }
    if (c === '8' || c === '9') return null;
    if (c === '$') {
      const kind = this.#next();
      if (kind === 'B') {
        this.#number();
        this.#next();
        if (CALLING_CONVENTIONS[this.#next()] === undefined) fail();
        return null;
      }
      const code = kind === 'R' ? this.#next() : kind;
      if (code < '0' || code > '5') fail();
      const count = kind === 'R' ? 4 : 2;
      for (let i = 0; i < count; i++) this.#number();
      this.#thisQualifiers();
      return this.#functionResult();
    }
    if (c < 'A' || c > 'Z') fail();
    const form = (c.charCodeAt(0) - 65) >> 1; // pairs: near and far
    if (c < 'Y') {
      const kind = form % 4; // 0 member, 1 static, 2 virtual, 3 adjustor thunk
      if (kind === 3) this.#number();
      if (kind !== 1) this.#thisQualifiers();
    }
    return this.#functionResult();
  }

  #functionResult(): string {
    if (CALLING_CONVENTIONS[this.#next()] === undefined) fail();
    const result = this.#eat('@') ? { pre: '', post: '' } : this.#type();
    this.#parameters();
    return result.pre + result.post;
  }
}

function spaced(declarator: string): string {
  return /^\w/.test(declarator) || declarator.startsWith('`') ? ` ${declarator}` : declarator;
}

/** `?Bar@Foo@@QAEXXZ` -> `Foo::Bar`; null when the text is no complete decorated name. Never throws. */
export function undecorateCpp(name: string): string | null {
  if (name.length > MAX_TEXT || !name.startsWith('?')) return null;
  try {
    return new Parser(name).symbol(false);
  } catch (error) {
    if (error instanceof Unparseable) return null;
    throw error;
  }
}
