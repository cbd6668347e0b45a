-- What processes of a store have in force, by part and tenant.
CREATE TABLE in_force (
  part TEXT NOT NULL,
  tenant TEXT NOT NULL, -- empty: of all tenants
  digest TEXT NOT NULL,
  PRIMARY KEY (part, tenant)
) {keyed}
