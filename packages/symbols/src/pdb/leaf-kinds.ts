/** CodeView type record kinds (cvinfo.h, LEAF_ENUM_e). `_16T` have 16-bit type indices, `_ST` length-prefixed names. */

export const LF_MODIFIER_16T = 0x0001;
export const LF_POINTER_16T = 0x0002;
export const LF_ARRAY_16T = 0x0003;
export const LF_CLASS_16T = 0x0004;
export const LF_STRUCTURE_16T = 0x0005;
export const LF_UNION_16T = 0x0006;
export const LF_ENUM_16T = 0x0007;
export const LF_PROCEDURE_16T = 0x0008;
export const LF_MFUNCTION_16T = 0x0009;
export const LF_FIELDLIST_16T = 0x0204;
export const LF_BITFIELD_16T = 0x0206;

export const LF_BCLASS_16T = 0x0400;
export const LF_VBCLASS_16T = 0x0401;
export const LF_IVBCLASS_16T = 0x0402;
export const LF_ENUMERATE_ST = 0x0403;
export const LF_FRIENDFCN_16T = 0x0404;
export const LF_INDEX_16T = 0x0405;
export const LF_MEMBER_16T = 0x0406;
export const LF_STMEMBER_16T = 0x0407;
export const LF_METHOD_16T = 0x0408;
export const LF_NESTTYPE_16T = 0x0409;
export const LF_VFUNCTAB_16T = 0x040a;
export const LF_FRIENDCLS_16T = 0x040b;
export const LF_ONEMETHOD_16T = 0x040c;
export const LF_VFUNCOFF_16T = 0x040d;

export const LF_MODIFIER = 0x1001;
export const LF_POINTER = 0x1002;
export const LF_ARRAY_ST = 0x1003;
export const LF_CLASS_ST = 0x1004;
export const LF_STRUCTURE_ST = 0x1005;
export const LF_UNION_ST = 0x1006;
export const LF_ENUM_ST = 0x1007;
export const LF_PROCEDURE = 0x1008;
export const LF_MFUNCTION = 0x1009;
export const LF_ALIAS_ST = 0x1010;
export const LF_FIELDLIST = 0x1203;
export const LF_BITFIELD = 0x1205;

export const LF_BCLASS = 0x1400;
export const LF_VBCLASS = 0x1401;
export const LF_IVBCLASS = 0x1402;
export const LF_FRIENDFCN_ST = 0x1403;
export const LF_INDEX = 0x1404;
export const LF_MEMBER_ST = 0x1405;
export const LF_STMEMBER_ST = 0x1406;
export const LF_METHOD_ST = 0x1407;
export const LF_NESTTYPE_ST = 0x1408;
export const LF_VFUNCTAB = 0x1409;
export const LF_FRIENDCLS = 0x140a;
export const LF_ONEMETHOD_ST = 0x140b;
export const LF_VFUNCOFF = 0x140c;
export const LF_NESTTYPEEX_ST = 0x140d;
export const LF_MEMBERMODIFY_ST = 0x140e;

export const LF_ENUMERATE = 0x1502;
export const LF_ARRAY = 0x1503;
export const LF_CLASS = 0x1504;
export const LF_STRUCTURE = 0x1505;
export const LF_UNION = 0x1506;
export const LF_ENUM = 0x1507;
export const LF_ALIAS = 0x150a;
export const LF_FRIENDFCN = 0x150c;
export const LF_MEMBER = 0x150d;
export const LF_STMEMBER = 0x150e;
export const LF_METHOD = 0x150f;
export const LF_NESTTYPE = 0x1510;
export const LF_ONEMETHOD = 0x1511;
export const LF_NESTTYPEEX = 0x1512;
export const LF_MEMBERMODIFY = 0x1513;
export const LF_STRIDED_ARRAY = 0x1516;
export const LF_MODIFIER_EX = 0x1518;
export const LF_INTERFACE = 0x1519;
export const LF_BINTERFACE = 0x151a;
export const LF_VECTOR = 0x151b;
// Records of VS 2019 and later for types of very many members.
export const LF_CLASS2 = 0x1608;
export const LF_STRUCTURE2 = 0x1609;
export const LF_UNION2 = 0x160a;
export const LF_INTERFACE2 = 0x160b;

export const LF_FUNC_ID = 0x1601;
export const LF_MFUNC_ID = 0x1602;
export const LF_STRING_ID = 0x1605;
