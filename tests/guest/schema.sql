-- What the guest's application finds in MariaDB. Run once on the host, in bootstrap mode, which starts without grants.
FLUSH PRIVILEGES;
CREATE DATABASE shop;
CREATE TABLE shop.messages (
    id INT AUTO_INCREMENT PRIMARY KEY,
    body VARCHAR(255) NOT NULL
);
CREATE USER 'app'@'127.0.0.1' IDENTIFIED BY 'guest';
GRANT ALL ON shop.* TO 'app'@'127.0.0.1';
