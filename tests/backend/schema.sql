-- Run by the server before it accepts connections (--init-file), so each statement stands on one line.
CREATE DATABASE IF NOT EXISTS jiwoo CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS jiwoo.messages (id BIGINT AUTO_INCREMENT PRIMARY KEY, sender VARCHAR(64) NOT NULL, body TEXT NOT NULL, created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS jiwoo.users (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL UNIQUE, password_hash CHAR(64) NOT NULL) ENGINE=InnoDB;
INSERT IGNORE INTO jiwoo.users (name, password_hash) VALUES ('jiwoo', SHA2('planted-user-password', 256));
CREATE USER IF NOT EXISTS 'jiwoo'@'%' IDENTIFIED BY 'planted-db-password';
GRANT ALL PRIVILEGES ON jiwoo.* TO 'jiwoo'@'%';
