/** An object with other members; its methods still run on the object itself, and what is set is set there. */
export function withMembers<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(inner, key) {
      if (Object.hasOwn(members, key)) return Reflect.get(members, key);
      const value: unknown = Reflect.get(inner, key, inner);
      return typeof value === 'function' ? value.bind(inner) : value;
    },
    set: (inner, key, value) => Reflect.set(inner, key, value, inner),
  });
}
